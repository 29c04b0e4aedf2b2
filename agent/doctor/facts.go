package doctor

import "time"

// Facts are what Collect found. An empty error text means that the trial went well.
type Facts struct {
	KernelRelease string // "6.1.0-13-amd64"
	Namespaces    []string
	Seccomp       bool
	OverlayError  string
	NetnsError    string // making a network namespace
	VethError     string
	NftError      string // a table with all that agent/vpc uses
	ForwardDrop   []string
	IPv6          bool

	Cgroup Cgroup
	Disk   Disk
	Listen []Address
	// Programs stand in the order of Config.
	Programs []FoundProgram

	EUID         int
	Capabilities uint64 // effective
	OpenFiles    uint64 // hard limit

	Now       time.Time
	Built     time.Time // the program's own file; the clock can't be before it
	ClockSync bool
	Resolvers []string
	PortRange [2]int
}

// Cgroup is how control groups are mounted.
type Cgroup struct {
	Mode        string // v1, v2, hybrid, or empty
	Controllers []string
	WriteError  string
	Swap        bool // swap can be limited
}

// Disk is the file system of the data directory.
type Disk struct {
	Path              string // the nearest directory that exists
	Type              string
	Free, Size        uint64 // bytes
	FreeInodes, Inode uint64 // Inode is the total; 0 when the file system does not count
	Error             string
}

// Address is one that Berth wants to listen on.
type Address struct{ Address, Error string }

// FoundProgram is a program and what was found of it.
type FoundProgram struct {
	Program
	FoundAt string
	Version string // the first number with dots of its version output
	Error   string
}
