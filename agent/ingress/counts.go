package ingress

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/elbv2/haproxy"
)

// counter names a number to which a worker only ever adds.
type counter struct {
	proxy, part string // as "show stat" has them: part is FRONTEND, BACKEND or a slot; of times it is empty
	name        string // column of "show stat", or milliseconds
}

// counts are the numbers of a worker that are not zero.
type counts map[counter]int64

// countedColumns of "show stat". Source: HAProxy management guide, CSV format.
var countedColumns = []string{
	"stot", "conn_tot", "connect", "bin", "bout", "wretr", "wredis", "econ", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx",
}

// since is what was added after an earlier look.
func (c counts) since(before counts) counts {
	out := counts{}
	for k, n := range c {
		if n -= before[k]; n > 0 {
			out[k] = n
		}
	}
	return out
}

// look is what a worker says at one moment.
type look struct {
	counts counts
	open   map[string]int // connections by frontend
	// done: the worker stops and has no connection, so it counts nothing any more.
	done bool
}

// look asks a worker for its counters; before are those of the last look. Frontends come before backends and servers, so that what a
// frontend has counted of a request, its server has too.
func (m master) look(ctx context.Context, w worker, before counts) (look, error) {
	text, err := m.tell(ctx, w, "show info", "show stat -1 1 -1", "show stat -1 6 -1")
	if err != nil {
		return look{}, err
	}
	info, stat, _ := strings.Cut(text, "# pxname")
	out := look{counts: counts{}, open: map[string]int{}, done: infoOf(info, "Stopping") == "1" && infoOf(info, "CurrConns") == "0"}
	table, err := parseStat("# pxname" + stat)
	if err != nil {
		return look{}, err
	}
	var answered []string // backends with new answers
	for _, row := range table.rows {
		proxy, part := table.at(row, "pxname"), table.at(row, "svname")
		if part == "FRONTEND" {
			out.open[proxy], _ = strconv.Atoi(table.at(row, "scur"))
		}
		for _, name := range countedColumns {
			k := counter{proxy, part, name}
			n, _ := strconv.ParseInt(table.at(row, name), 10, 64)
			if n <= 0 {
				continue
			}
			out.counts[k] = n
			if part != "FRONTEND" && strings.HasPrefix(name, "hrsp_") && n != before[k] && !slices.Contains(answered, proxy) {
				answered = append(answered, proxy)
			}
		}
	}
	for k, n := range before { // times of backends without new answers are as they were
		if k.part == "" {
			out.counts[k] = n
		}
	}
	return out, m.times(ctx, w, answered, out.counts)
}

// times reads how many answers of each backend took how long.
func (m master) times(ctx context.Context, w worker, backends []string, into counts) error {
	var commands []string
	for _, b := range backends {
		if table := haproxy.TimesTable(b); table != "" {
			commands = append(commands, "show table "+table)
		}
	}
	for part := range slices.Chunk(commands, 100) {
		text, err := m.tell(ctx, w, part...)
		if err != nil {
			return err
		}
		if err := parseTimes(text, into); err != nil {
			return err
		}
	}
	return nil
}

// parseTimes reads what "show table" says: of each table its name, and a line for each key.
func parseTimes(text string, into counts) error {
	backend := ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# table: "); ok {
			name, _, _ = strings.Cut(name, ",")
			backend = haproxy.TimesBackend(name)
			continue
		}
		var ms, n string
		for _, f := range strings.Fields(line) {
			if v, ok := strings.CutPrefix(f, "key="); ok {
				ms = v
			}
			if v, ok := strings.CutPrefix(f, "gpc0="); ok {
				n = v
			}
		}
		if ms == "" {
			continue
		}
		answers, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return fmt.Errorf("HAProxy lists times in a way that is not known: %q", line)
		}
		if answers > 0 {
			into[counter{backend, "", ms}] = answers
		}
	}
	return nil
}

// infoOf is one value of what "show info" says.
func infoOf(text, name string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// statTable is what "show stat" says.
type statTable struct {
	columns map[string]int
	rows    [][]string
}

// parseStat reads one or several tables with the same columns.
func parseStat(text string) (statTable, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimSpace(text)))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	records, err := r.ReadAll()
	if err != nil || len(records) == 0 {
		return statTable{}, errors.Join(errors.New("HAProxy says nothing of its counters"), err)
	}
	t := statTable{columns: map[string]int{}}
	for n, name := range records[0] {
		t.columns[strings.TrimPrefix(name, "# ")] = n
	}
	for _, row := range records[1:] {
		if !strings.HasPrefix(row[0], "#") {
			t.rows = append(t.rows, row)
		}
	}
	return t, nil
}

func (t statTable) at(row []string, column string) string {
	if n, ok := t.columns[column]; ok && n < len(row) {
		return row[n]
	}
	return ""
}
