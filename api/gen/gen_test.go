package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestConstantNames(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"FARGATE", "TFargate"}, {"EC2", "TEC2"}, {"TASK_DEFINITION", "TTaskDefinition"}, {"awsvpc", "TAwsvpc"},
		{"X86_64", "TX86x64"}, {"2011-06-15", "T2011x06x15"}, {"ecs.capability", "TEcsCapability"}, {"", "TEmpty"}, {"fooBar", "TFooBar"},
	} {
		if got := constant("T", c.value); got != c.want {
			t.Errorf("%q: got %s, want %s", c.value, got, c.want)
		}
	}
}

func TestPatternsThatGoCannotCompileAreLeftOut(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`[a-z]+`, `[a-z]+`}, {`.*`, ``}, {`a(?!b)`, ``}, {`[a]{1,2048}`, `[a]{1,}`}, {`[\u0020-\u00FF]*`, `[\x{0020}-\x{00FF}]*`},
	} {
		if got := goPattern(c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

// What is committed is what the generator makes of the committed models.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	api, err := apiFolder()
	if err != nil {
		t.Fatal(err)
	}
	models, err := filepath.Glob(filepath.Join(api, "models", "*.json"))
	if err != nil || len(models) == 0 {
		t.Fatalf("models: %v, %v", models, err)
	}
	out := t.TempDir()
	for _, path := range models {
		m, err := readModel(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := emit(m, out); err != nil {
			t.Fatal(err)
		}
		made, err := filepath.Glob(filepath.Join(out, m.Name, "*.gen.go"))
		if err != nil || len(made) != 4 {
			t.Fatalf("%s: %v, %v", m.Name, made, err)
		}
		for _, file := range made {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(api, m.Name, filepath.Base(file)))
			if err != nil || string(got) != string(want) {
				t.Errorf("api/%s/%s is not current; run: go generate ./api/... (%v)", m.Name, filepath.Base(file), err)
			}
		}
	}
}

// What was written by hand outlives an import.
func TestImportKeepsWhatIsNewerThanTheModel(t *testing.T) {
	api, err := apiFolder()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(api, "models", "newer", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		newer, err := readModel(file)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := readModel(filepath.Join(api, "models", filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		m := &model{Shapes: map[string]shape{}}
		for name, s := range newer.Shapes {
			if have := committed.Shapes[name]; len(have.Members) > len(s.Members) { // as it was imported
				s.Members = have.Members[:len(have.Members)-len(s.Members)]
				m.Shapes[name] = s
			}
		}
		for range 2 {
			if err := m.add(file); err != nil {
				t.Fatal(err)
			}
		}
		for name := range newer.Shapes {
			if got, want := fmt.Sprint(m.Shapes[name]), fmt.Sprint(committed.Shapes[name]); got != want {
				t.Errorf("%s: %s\n got %s\nwant %s", file, name, got, want)
			}
		}
	}
}

func TestImportKeepsTheOrderOfMembersAndDropsDocumentation(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "toy"), 0o755); err != nil {
		t.Fatal(err)
	}
	source := `{"metadata":{"serviceId":"Toy","protocol":"json","endpointPrefix":"toy","targetPrefix":"Toy_1"},
	"operations":{"Play":{"http":{"method":"POST","requestUri":"/"},"input":{"shape":"PlayRequest"},"errors":[{"shape":"Broken"}],"documentation":"words"},"Rest":{"http":{"method":"POST","requestUri":"/"},"input":{"shape":"Unused"}}},
	"shapes":{"PlayRequest":{"type":"structure","required":["z"],"members":{"z":{"shape":"S","documentation":"words"},"a":{"shape":"S"}}},"S":{"type":"string","max":3},"Unused":{"type":"structure","members":{}},"Broken":{"type":"structure","members":{},"exception":true,"fault":true}}}`
	if err := os.WriteFile(filepath.Join(dir, "toy", "service-2.json"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := importModel(dir, "toy", []string{"Play"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "toy.json")
	if err := m.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"toy","id":"Toy","version":"","protocol":"json","target":"Toy_1","signingName":"toy","endpoint":"toy",
"operations":{
"Play":{"in":"PlayRequest","errors":["Broken"]}
},
"shapes":{
"Broken":{"type":"structure","error":{"status":500}},
"PlayRequest":{"type":"structure","members":[{"n":"z","s":"S","req":true},{"n":"a","s":"S"}]},
"S":{"type":"string","max":3}
}}
`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if _, err := importModel(dir, "toy", []string{"Fly"}); err == nil {
		t.Error("an operation that is not there was accepted")
	}
}
