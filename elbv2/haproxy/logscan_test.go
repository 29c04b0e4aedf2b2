package haproxy

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const sampleLine = `{"f":"f.app:web:50dc6c495c0c9188.80","b":"b.app:web:50dc6c495c0c9188.targetgroup:web:73e2d6bc24d8a067","s":"s2","t":1700000000,"ms":123,` +
	`"ci":"127.0.0.1","cp":40000,"si":"127.0.0.1","sp":"32768","sc":"-","sv":"-","i":78,"o":132,"rc":"+2","r":"default","st":200,"ts":"200","v":"HTTP/1.1",` +
	`"m":"GET","h":"web.example.com","u":"/a?b=\"c\"\u00e9","ua":"bench","tr":"Root=1-65530a00-0123456789abcdef01234567","ti":[0,-1,0,1,1],"e":"--"}`

// lines are such as HAProxy writes, and others that it does not.
var lines = []string{
	sampleLine, sampleLine + "\n", strings.Replace(sampleLine, `"ti":[0,-1,0,1,1]`, `"ti":[]`, 1), strings.Replace(sampleLine, `"st":200`, `"st":-1`, 1),
	strings.Replace(sampleLine, "bench", "caf\xc3\xa9 \xff", 1), strings.Replace(sampleLine, "bench", "a\tb", 1), strings.Replace(sampleLine, "bench", `a\\`, 1),
	`{}`, `{`, ``, `[]`, `{"f":}`, `{"f":"a"`, `{"f":"a",}`, `{"ti":[1,2}`, `{"ti":[1,2`, `{"t":1.5}`, `{"t":--1}`, `{"t":"x"}`, `{"new":"x","f":"a"}`, `Proxy f.app started.`,
}

// FuzzScanReadsWhatJSONReads: what is taken is what encoding/json makes of the line, and every line of the formats is taken.
func FuzzScanReadsWhatJSONReads(f *testing.F) {
	for _, l := range lines {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var got logged
		if got.scan([]byte(line)) != nil {
			return
		}
		fields := map[string]json.RawMessage{}
		if json.Unmarshal([]byte(strings.TrimRight(line, "\x00\r\n ")), &fields) != nil {
			return // scan is not there to find faults
		}
		for key := range fields {
			if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz") != "" {
				return // encoding/json takes keys in other cases too
			}
		}
		var want logged
		if json.Unmarshal([]byte(strings.TrimRight(line, "\x00\r\n ")), &want) != nil {
			return
		}
		if strings.Count(line, `":`) != len(fields) {
			return // a key twice, or one within a text
		}
		if got.Times == nil {
			got.Times = want.Times
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", line, got, want)
		}
	})
}

func TestScanTakesLines(t *testing.T) {
	var want logged
	if err := json.Unmarshal([]byte(sampleLine), &want); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		var got logged
		if err := got.scan([]byte(sampleLine + end)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("with the end %q: %v\ngot  %+v\nwant %+v", end, err, got, want)
		}
	}
	for _, bad := range []string{``, `{`, `[]`, `{"f":}`, `{"f":"a"`, `{"f":"a",}`, `{"ti":[1,2}`, `{"ti":[1,2`, `{"t":1.5}`, `{"t":--1}`, `Proxy f.app started.`} {
		var got logged
		if got.scan([]byte(bad)) == nil {
			t.Errorf("%q was taken: %+v", bad, got)
		}
	}
}

func BenchmarkParseLog(b *testing.B) {
	line := []byte(sampleLine)
	for b.Loop() {
		if _, err := ParseLog(line); err != nil {
			b.Fatal(err)
		}
	}
}

// HAProxy writes milliseconds with three digits.
func TestMillisecondsWithLeadingZerosAreRead(t *testing.T) {
	line := []byte(`{"f":"f.app:web:2222222222222222.80","b":"b.app:web:2222222222222222.targetgroup:web:1111111111111111","s":"s7","t":1795892144,"ms":619,"ci":"127.0.0.1","cp":37574,"si":"127.0.0.1","sp":"44037","sc":"-","sv":"-","i":101,"o":120,"rc":"0","r":"default","st":200,"ts":"200","v":"HTTP/1.1","m":"GET","h":"a","u":"\/","ua":"x","tr":"-","ti":[0,0,1,3,4],"e":"--"}`)
	for ms, want := range map[string]int64{"619": 619, "064": 64, "007": 7, "000": 0} {
		e, err := ParseLog(bytes.Replace(line, []byte(`"ms":619`), []byte(`"ms":`+ms), 1))
		if err != nil || e.At != 1795892144000+want {
			t.Errorf("%s: %+v %v", ms, e, err)
		}
	}
}
