package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkPrograms gives one finding per program. Of a group (AnyOf) one is enough: then missing others pass.
func checkPrograms(programs []FoundProgram, cgroups string) []Finding {
	programs = slices.Clone(programs)
	for i, p := range programs {
		if p.Name == "crun" && p.FoundAt != "" && cgroups == "hybrid" {
			programs[i].Error = "it refuses the hybrid layout of control groups"
		}
	}
	has := map[string]string{}
	for _, p := range programs {
		if p.AnyOf != "" && p.usable() {
			has[p.AnyOf] = p.Name
		}
	}
	var all []Finding
	for _, p := range programs {
		all = append(all, checkProgram(p, has[p.AnyOf]))
	}
	return all
}

func (p FoundProgram) usable() bool {
	return p.FoundAt != "" && p.Error == "" && !p.tooOld()
}

func (p FoundProgram) tooOld() bool {
	return p.Min != "" && p.Version != "" && compareVersions(parseVersion(p.Version), parseVersion(p.Min)) < 0
}

func checkProgram(p FoundProgram, instead string) Finding {
	status := Warn
	if p.Required || p.AnyOf != "" {
		status = Fail
	}
	if p.AnyOf != "" && instead != "" {
		status = Pass
	}
	trouble := ""
	switch {
	case p.FoundAt == "":
		trouble = "not found"
	case p.Error != "":
		trouble = p.FoundAt + " does not run: " + p.Error
	case p.tooOld():
		trouble = p.FoundAt + " is version " + p.Version + ", need " + p.Min
	default:
		return pass(p.Name, "%s %s", p.FoundAt, p.Version)
	}
	if status == Pass {
		return pass(p.Name, "%s; %s is there", trouble, instead)
	}
	return found(p.Name, status, p.Fix, "%s: %s", trouble, p.Use)
}

var versionPattern = regexp.MustCompile(`\d+(\.\d+)+`)

// parseVersion returns the numbers of the first dotted number in text.
func parseVersion(text string) []int {
	var v []int
	for part := range strings.SplitSeq(versionPattern.FindString(text), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return v
		}
		v = append(v, n)
	}
	return v
}

// compareVersions is below 0 when a is older than b; missing numbers count as 0.
func compareVersions(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
