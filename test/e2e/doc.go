// Package e2e tests the whole of Berth as a user meets it: the built binary, the AWS CLI and SDK, real containers.
// It needs root and skips without it.
//
// Tests share one Berth (shared) unless they do it harm (start) or need several machines (newCluster). Whatever a
// test starts has ended when it is over, and nothing of it is left in the kernel: leftovers looks.
//
//	berth_test.go     a running Berth, its clients, what it left behind
//	cluster_test.go   a server and three agents, each in a network namespace of its own
//	image_test.go     the image of the probe, the program that most tasks run (probe/)
//
//	faults_test.go    kill -9 of every part, exits unseen, OOM, fork bomb, log flood
//	state_test.go     torn journals, killed monitors, missing images
//	disk_test.go      a full disk
//	machines_test.go  placement, joining, silence
//	fields_test.go    fields of container definitions seen from inside; how containers end
//	ports_test.go     published ports, links, the host's network
//	debian_test.go    nginx, redis and python from Debian packages, by the AWS CLI
//	accounts_test.go  accounts and regions side by side
//	commands_test.go  the command line, backup and restore, restart policy
//	sample_test.go    the demo
//	systemd_test.go   Berth as a service
//	terraform_test.go Terraform with its provider for AWS, where both are installed; its way with a service, everywhere
package e2e
