package placement

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func queried() *Instance {
	return &Instance{
		ID: "i", Status: StatusActive, Connected: true, EC2InstanceID: "i-0abc", AgentVersion: "1.94.10",
		RegisteredAt: time.Date(2018, 6, 18, 22, 28, 28, 500_000_000, time.UTC),
		Attributes: map[string]string{
			"ecs.instance-type": "t2.small", "ecs.availability-zone": "us-east-1a", "gpu": "", "stack": "prod", "disk": "100", "path": `a\b/c:d@e`,
		},
		Running: 3,
		Groups:  map[string]int{"service:web": 2, "family:batch": 1},
	}
}

func TestExpressionMatches(t *testing.T) {
	for _, row := range []struct {
		text string
		want bool
	}{
		// attribute: every operator, by symbol and by name
		{"attribute:ecs.instance-type == t2.small", true},
		{"attribute:ecs.instance-type equals t2.small", true},
		{"attribute:ecs.instance-type == t2", false},
		{"attribute:ecs.instance-type != t2.small", false},
		{"attribute:ecs.instance-type not_equals t2.large", true},
		{"attribute:ecs.instance-type =~ t2.*", true},
		{"attribute:ecs.instance-type matches t2.*", true},
		{"attribute:ecs.instance-type =~ t2", false},
		{"attribute:ecs.instance-type =~ t2.micro|t2.small", true},
		{"attribute:ecs.instance-type !~ t2.*", false},
		{"attribute:ecs.instance-type not_matches m5.*", true},
		{"attribute:ecs.instance-type in [t2.small, t2.medium]", true},
		{"attribute:ecs.instance-type in [t2.micro]", false},
		{"attribute:ecs.instance-type !in [t2.micro,t2.small]", false},
		{"attribute:ecs.instance-type not_in [t2.micro]", true},
		{"attribute:stack exists", true},
		{"attribute:gpu exists", true},
		{"attribute:none exists", false},
		{"attribute:stack !exists", false},
		{"attribute:none !exists", true},
		{"attribute:none not_exists", true},
		{"attribute:disk > 20", true},
		{"attribute:disk greater_than 100", false},
		{"attribute:disk >= 100.0", true},
		{"attribute:disk greater_than_equal 101", false},
		{"attribute:disk < 99", false},
		{"attribute:disk less_than 1e3", true},
		{"attribute:disk <= 100", true},
		{"attribute:disk less_than_equal 9", false},
		{"attribute:stack > dev", true},
		{`attribute:path == a\b/c:d@e`, true},
		{`attribute:gpu == ""`, true},
		{"attribute:gpu =~ .*", true},
		// a missing attribute: false for positive operators, true for negative ones
		{"attribute:none == x", false}, {"attribute:none != x", true},
		{"attribute:none in [x]", false}, {"attribute:none !in [x]", true},
		{"attribute:none =~ .*", false}, {"attribute:none !~ .*", true},
		{"attribute:none > 1", false}, {"attribute:none <= 1", false},
		// quotes
		{"attribute:stack == 'prod'", true},
		{`attribute:stack == "prod"`, true},
		{`attribute:stack =~ "(prod|test)[0-9]*"`, true},
		{`attribute:stack in ["pro d", 'prod']`, true},
		// other subjects
		{"agentConnected == true", true},
		{"agentConnected != true", false},
		{"agentConnected in [false]", false},
		{"agentConnected =~ t.*", true},
		{"agentVersion == 1.94.10", true},
		{"agentVersion > 1.94.9", true},
		{"agentVersion >= 1.95", false},
		{"agentVersion < 1.100", true},
		{"agentVersion <= 1.94.10.0", true},
		{"agentVersion != 1.94.10", false},
		{"ec2InstanceId == i-0abc", true},
		{"ec2InstanceId !in ['i-0abc', 'i-1']", false},
		{"ec2InstanceId !~ i-0.*", false},
		{"registeredAt == 2018-06-18T22:28:28+00:00", true},
		{"registeredAt == 2018-06-19T00:28:28+02:00", true},
		{"registeredAt == 2018-06-18T22:28:28Z", true},
		{"registeredAt == 2018-06-18T22:28:28", true},
		{"registeredAt > 2018-06-18", true},
		{"registeredAt < 2018-06-18T23:00:00Z", true},
		{"registeredAt != 2018-06-18", true},
		{"runningTasksCount == 3", true},
		{"runningTasksCount != 3", false},
		{"runningTasksCount > 2 and runningTasksCount < 4", true},
		{"runningTasksCount >= 4", false},
		{"runningTasksCount <= 3", true},
		{"task:group == service:web", true},
		{"task:group == service:api", false},
		{"task:group != service:api", true},
		{"task:group != service:web", false},
		{"task:group in [service:api, family:batch]", true},
		{"task:group !in [service:api, family:batch]", false},
		{"task:group =~ service:.*", true},
		{"task:group !~ daemon:.*", true},
		// structure
		{"not attribute:stack exists", false},
		{"!attribute:none exists", true},
		{"not(attribute:stack == prod)", false},
		{"!(attribute:stack == test or attribute:disk < 10)", true},
		{"attribute:stack == test or attribute:stack == prod and attribute:disk == 1", false},
		{"(attribute:stack == test or attribute:stack == prod) and attribute:disk == 100", true},
		{"not attribute:stack == test and agentConnected == true", true},
		{"attribute:stack==test||attribute:stack==prod&&agentConnected==true", true},
		{"attribute:stack == test || (agentConnected == true && attribute:gpu exists)", true},
		{"\t( ( agentConnected == true ) )\n", true},
	} {
		t.Run(row.text, func(t *testing.T) {
			e, err := Compile(row.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Match(queried()); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestExpressionRefuses(t *testing.T) {
	for _, row := range []struct{ text, why string }{
		{"", "position 1: the expression is empty"},
		{"  ", "the expression is empty"},
		{"stack == prod", `position 1: unknown subject "stack"`},
		{"attribute: == prod", "unknown subject"},
		{"attribute:stack", `expected an operator, found the end`},
		{"attribute:stack is prod", `position 17: expected an operator, found "is"`},
		{"attribute:stack ==", "expected a value, found the end"},
		{"attribute:stack == == prod", "expected a value"},
		{"attribute:stack == prod test", `expected "and", "or" or the end, found "test"`},
		{"attribute:stack in prod", `expected "["`},
		{"attribute:stack in []", "expected a value"},
		{"attribute:stack in [a b]", `expected "]"`},
		{"attribute:stack in [a,]", "expected a value"},
		{"attribute:stack == 'prod", "the quote is not closed"},
		{"(attribute:stack == prod", `expected ")", found the end`},
		{"attribute:stack == prod)", "expected"},
		{"attribute:stack == prod and", "expected a subject, found the end"},
		{"or attribute:stack == prod", "unknown subject"},
		{"not not attribute:stack exists", `unknown subject "not"`},
		{"attribute:stack EXISTS", "expected an operator"},
		{"attribute:stack ! 'in' [a]", "expected an operator"},
		{"attribute:stack == {prod}", `unexpected character "{"`},
		{"attribute:stack == prüd", `unexpected character "ü"`},
		{"agentConnected == yes", "agentConnected is true or false"},
		{"agentConnected > true", "cannot be compared"},
		{"agentConnected exists", "cannot be compared"},
		{"agentVersion == new", "is no version"},
		{"agentVersion in [1.2]", "cannot be compared"},
		{"agentVersion =~ 1.*", "cannot be compared"},
		{"ec2InstanceId > i-1", "cannot be compared"},
		{"ec2InstanceId exists", "cannot be compared"},
		{"registeredAt > yesterday", "is no date"},
		{"registeredAt > 2018-13-01", "is no date"},
		{"runningTasksCount > many", "is no whole number"},
		{"runningTasksCount =~ 1", "cannot be compared"},
		{"task:group > a", "cannot be compared"},
		{"task:group exists", "cannot be compared"},
		// Java's regular expressions beyond RE2
		{`attribute:stack =~ "(?=p)prod"`, "not supported"},
		{`attribute:stack =~ "(?<!x)prod"`, "not supported"},
		{`attribute:stack =~ "(p)\1"`, "back-references"},
		{`attribute:stack =~ "(p)\12"`, "back-references"},
		{`attribute:stack =~ "p*+"`, "not supported"},
		{`attribute:stack =~ "(?>p)"`, "not supported"},
		{`attribute:stack =~ "[a-z&&[^b]]"`, "intersections"},
		{`attribute:stack =~ "[a[b]]"`, "a class inside a class"},
		{`attribute:stack =~ "[[:alpha:]]"`, "a class inside a class"},
		{`attribute:stack =~ "[]a]"`, "begins with ]"},
		{`attribute:stack =~ "a)|(b"`, "not supported"},
		{`attribute:stack =~ "("`, "not supported"},
		{`attribute:stack =~ "(a{1000}){1000}"`, "not supported"},
		{"attribute:a == " + strings.Repeat("x", MaxExpression), "longer than 2000 characters"},
	} {
		t.Run(row.text[:min(40, len(row.text))], func(t *testing.T) {
			_, err := Compile(row.text)
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if !strings.HasPrefix(err.Error(), "Invalid expression at position ") || !strings.Contains(err.Error(), row.why) {
				t.Errorf("got %q, want %q in it", err, row.why)
			}
		})
	}
}

func TestExpressionOnBareInstance(t *testing.T) {
	for text, want := range map[string]bool{
		"ec2InstanceId == i": false, "ec2InstanceId != i": true,
		"agentVersion > 0": false, "agentVersion != 1": true,
		"registeredAt < 2100-01-01": false, "registeredAt != 2100-01-01": true,
		"task:group =~ .*": false, "task:group !~ .*": true, "agentConnected == false": true,
	} {
		e, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Match(&Instance{}); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("attribute:stack == prod and not (task:group =~ 'service:.*' or agentVersion >= 1.2)")
	f.Add(`registeredAt > 2018-06-18T22:28:28+00:00 || attribute:x !in [a, "b c"]`)
	f.Add(`attribute:x =~ "[^a-c]+\\d(?:x|y){2,3}"`)
	on := queried()
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Compile(text)
		if err != nil {
			if s, ok := errors.AsType[*SyntaxError](err); !ok || s.At < 0 || s.At > len(text) {
				t.Fatalf("error %v", err)
			}
			return
		}
		got := e.Match(on)
		negated, err := Compile("not (" + text + ")")
		if len(text)+6 <= MaxExpression && (err != nil || negated.Match(on) == got) {
			t.Fatalf("%q and its negation: %v, %v", text, got, err)
		}
	})
}
