package haproxy_test

import (
	"net/netip"
	"testing"

	"berth/elbv2/haproxy"
)

func TestSoundFindsWhatCannotBe(t *testing.T) {
	ok := alb("HTTP", 80, forward("web"))
	bad := func(change func(*haproxy.LoadBalancer)) haproxy.LoadBalancer {
		lb := alb("HTTP", 80, forward("web"))
		lb.ID, lb.Number = "app/bad/1", 2
		change(&lb)
		return lb
	}
	for name, lb := range map[string]haproxy.LoadBalancer{
		"same number":    bad(func(lb *haproxy.LoadBalancer) { lb.Number = 1 }),
		"number":         bad(func(lb *haproxy.LoadBalancer) { lb.Number = 1023 }),
		"address":        bad(func(lb *haproxy.LoadBalancer) { lb.Addresses = []netip.Addr{{}} }),
		"no certificate": bad(func(lb *haproxy.LoadBalancer) { lb.Listeners[0].Protocol = "HTTPS" }),
		"half certificate": bad(func(lb *haproxy.LoadBalancer) {
			lb.Listeners[0].Protocol, lb.Listeners[0].Certificates = "HTTPS", []string{"half"}
		}),
		"no default": bad(func(lb *haproxy.LoadBalancer) { lb.Listeners[0].Rules = nil }),
		"protocol":   bad(func(lb *haproxy.LoadBalancer) { lb.Listeners[0].Protocol = "TCP" }),
		"regex": bad(func(lb *haproxy.LoadBalancer) {
			lb.Listeners[0].Rules = []haproxy.Rule{rule("1", fixed(200, ""), haproxy.Condition{Field: "path-pattern", Regex: []string{"(?=x)"}}), forward("web")}
		}),
		"control character": bad(func(lb *haproxy.LoadBalancer) {
			lb.Listeners[0].Rules = []haproxy.Rule{rule("1", fixed(200, ""), condition("path-pattern", "a\nb")), forward("web")}
		}),
		"status": bad(func(lb *haproxy.LoadBalancer) { lb.Listeners[0].Rules[0].Action = fixed(100, "") }),
	} {
		f := haproxy.Frame{LoadBalancers: []haproxy.LoadBalancer{ok, lb}, Groups: []haproxy.Group{group("web", "HTTP", nil)}, Certificates: []haproxy.Certificate{{ID: "half", PEM: "-----BEGIN"}}}
		sound, problems := haproxy.Sound(f)
		if len(problems) != 1 || problems[0].LoadBalancer != lb.ID {
			t.Errorf("%s: got %v", name, problems)
		}
		if len(sound.LoadBalancers[0].Listeners) != 1 || len(sound.LoadBalancers) > 1 && len(sound.LoadBalancers[1].Listeners) > 0 {
			t.Errorf("%s: got %+v", name, sound)
		}
	}
}
