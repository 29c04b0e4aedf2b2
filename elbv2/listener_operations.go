package elbv2

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"berth/acm"
	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
	"berth/store"
)

// Limits of listeners. Source: ELB user guides, quotas; those of certificates are higher here.
const (
	maxListeners    = 50  // of a load balancer
	maxCertificates = 100 // of a load balancer, besides the default ones
)

// listenerProtocols are the protocols of each type of load balancer, in the order of AWS's text.
var listenerProtocols = map[string][]api.ProtocolEnum{
	haproxy.Application: {api.ProtocolEnumHTTPS, api.ProtocolEnumHTTP},
	haproxy.Network:     {api.ProtocolEnumTLS, api.ProtocolEnumTCP, api.ProtocolEnumTCPUDP, api.ProtocolEnumUDP},
}

var alpnPolicies = []string{"HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"}

// secure says whether the listener ends TLS.
func (v Listener) secure() bool {
	return v.Protocol == api.ProtocolEnumHTTPS || v.Protocol == api.ProtocolEnumTLS
}

// wire is what the API shows of a listener.
func (v Listener) wire() api.Listener {
	out := api.Listener{
		ListenerArn: new(v.ARN().String()), LoadBalancerArn: new(arnOf(aLoadBalancer.kind, v.LoadBalancer).String()), Port: new(v.Port),
		Protocol: v.Protocol, DefaultActions: v.DefaultActions,
	}
	if v.secure() {
		out.SslPolicy, out.Certificates = new(v.SSLPolicy), []api.Certificate{{CertificateArn: new(v.Certificate)}}
	}
	if len(v.ALPN) > 0 {
		out.AlpnPolicy = v.ALPN
	}
	if v.Protocol == api.ProtocolEnumHTTPS {
		out.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: new(mutualOff)}
	}
	return out
}

func findListenerWithBalancer(ctx context.Context, r store.Reader, arn *string) (l Listener, lb LoadBalancer, err error) {
	if l, err = findListener(ctx, r, arn); err != nil {
		return l, lb, err
	}
	lb, ok := LoadBalancers.Get(r, l.LoadBalancer)
	if !ok {
		return l, lb, fmt.Errorf("listener %s has no load balancer", l.ARN())
	}
	return l, lb, nil
}

// CreateListener makes a port of a load balancer. One that exists with the same settings is returned.
func (s *Service) CreateListener(ctx context.Context, in *api.CreateListenerInput) (*api.CreateListenerOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	id := aws.NewHexID()[:16]
	var out Listener
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		lb, err := findLoadBalancer(ctx, tx, in.LoadBalancerArn)
		if err != nil {
			return err
		}
		v := Listener{LoadBalancer: lb.Key(), ID: id, Port: aws.Value(in.Port), Protocol: in.Protocol, Tags: tags}
		if in.Port == nil {
			return invalid("A listener port must be specified")
		}
		want := listenerSettings{in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication, in.DefaultActions}
		if v, err = want.apply(actionCheck{ctx, tx, lb, v.Protocol}, v); err != nil {
			return err
		}
		n := 0
		for have := range Listeners.Prefix(tx, lb.Key()+"/") {
			if n++; have.Port != v.Port {
				continue
			}
			if v.ID = have.ID; have.same(v) {
				out = have
				return nil
			}
			return aws.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", lb.ARN())
		}
		if n >= maxListeners {
			return aws.Errorf("TooManyListeners", "A load balancer can have at most '%d' listeners", maxListeners)
		}
		v.ID = id
		Listeners.Put(tx, v)
		out = v
		return tooManyGroups(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateListenerOutput{Listeners: []api.Listener{out.wire()}}, nil
}

// same says whether the listener has the settings of another that is asked for.
func (v Listener) same(want Listener) bool {
	return v.Port == want.Port && reflect.DeepEqual(v.wire(), want.wire()) && maps.Equal(v.Tags, want.Tags)
}

// listenerSettings are what an input says of a listener besides its port and protocol.
type listenerSettings struct {
	policy       *string
	certificates []api.Certificate
	alpn         []string
	mutual       *api.MutualAuthenticationAttributes
	actions      []api.Action
}

// apply checks settings and puts them into a listener, whose protocol may have changed.
func (w listenerSettings) apply(c actionCheck, v Listener) (Listener, error) {
	if err := checkProtocol(c.lb, v.Protocol); err != nil {
		return v, err
	}
	if w.policy != nil {
		v.SSLPolicy = *w.policy
	}
	if v.secure() {
		if err := w.secure(c, &v); err != nil {
			return v, err
		}
	} else if err := w.plain(&v); err != nil {
		return v, err
	}
	if err := w.checkALPN(&v); err != nil {
		return v, err
	}
	if err := checkMutual(v, w.mutual); err != nil {
		return v, err
	}
	if w.actions != nil {
		var err error
		if v.DefaultActions, err = c.actions(w.actions); err != nil {
			return v, err
		}
	}
	return v, nil
}

func checkProtocol(lb LoadBalancer, p api.ProtocolEnum) error {
	list := listenerProtocols[lb.Kind]
	var names []string
	for _, one := range list {
		names = append(names, string(one))
	}
	switch {
	case p == "":
		return invalid("A listener protocol must be specified")
	case p == api.ProtocolEnumQuic || p == api.ProtocolEnumTCPQuic:
		return aws.Errorf("UnsupportedProtocol", "The listener protocol '%s' is not supported by this Berth", p)
	case !slices.Contains(list, p):
		return invalid("Listener protocol '%s' must be one of '%s'", p, strings.Join(names, ", "))
	}
	return nil
}

// secure checks what a listener with TLS has.
func (w listenerSettings) secure(c actionCheck, v *Listener) error {
	v.SSLPolicy = cmp.Or(v.SSLPolicy, defaultSSLPolicy)
	if !knownPolicy(v.SSLPolicy) {
		return aws.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", short(v.SSLPolicy))
	}
	switch {
	case len(w.certificates) > 1:
		return aws.Errorf("TooManyCertificates", "Up to '1' certificate ARNs can be specified, but '%d' were specified", len(w.certificates))
	case len(w.certificates) == 0 && v.Certificate == "":
		return invalid("A certificate must be specified for %s listeners", v.Protocol)
	case len(w.certificates) == 1:
		if w.certificates[0].IsDefault != nil {
			return invalid("You cannot set IsDefault when specifying a certificate as an input")
		}
		arn, err := findCertificate(c.ctx, c.r, w.certificates[0].CertificateArn)
		if err != nil {
			return err
		}
		v.Certificate = arn
	}
	return nil
}

// plain checks that a listener without TLS is given nothing of it, and takes away what it had.
func (w listenerSettings) plain(v *Listener) error {
	switch {
	case len(w.certificates) > 0:
		return invalid("Certificates cannot be specified for %s listeners", v.Protocol)
	case w.policy != nil && *w.policy != "":
		return invalid("An SSL policy cannot be specified for %s listeners", v.Protocol)
	}
	v.SSLPolicy, v.Certificate, v.Certificates = "", "", nil
	return nil
}

func (w listenerSettings) checkALPN(v *Listener) error {
	if v.Protocol != api.ProtocolEnumTLS {
		if len(w.alpn) > 0 {
			return invalid("An ALPN policy cannot be specified for %s listeners", v.Protocol)
		}
		v.ALPN = nil
		return nil
	}
	switch {
	case len(w.alpn) > 1:
		return invalid("Up to '1' ALPN policy can be specified")
	case len(w.alpn) == 1 && !slices.Contains(alpnPolicies, w.alpn[0]):
		return aws.Errorf("ALPNPolicyNotFound", "ALPN policy '%s' not found", short(w.alpn[0]))
	case len(w.alpn) == 1:
		v.ALPN = w.alpn
	}
	return nil
}

const mutualOff = "off"

func checkMutual(v Listener, m *api.MutualAuthenticationAttributes) error {
	switch {
	case m == nil:
		return nil
	case v.Protocol != api.ProtocolEnumHTTPS:
		return invalid("Mutual authentication can only be specified for HTTPS listeners")
	case aws.Value(m.Mode) != mutualOff:
		return configuration("The mutual authentication mode '%s' is not supported by this Berth: only 'off' is", short(aws.Value(m.Mode)))
	case m.TrustStoreArn != nil || m.IgnoreClientCertificateExpiry != nil || m.AdvertiseTrustStoreCaNames != "":
		return invalid("Nothing else can be specified if the mutual authentication mode is 'off'")
	}
	return nil
}

// findCertificate finds a certificate of the caller by its ARN.
func findCertificate(ctx context.Context, r store.Reader, arn *string) (string, error) {
	text := aws.Value(arn)
	if text == "" {
		return "", invalid("A certificate ARN must be specified")
	}
	if _, ok := acm.ByARN(r, text); !ok || !owns(ctx, text) {
		return "", aws.Errorf(codeCertificateNotFound, "Certificate '%s' not found", short(text))
	}
	return text, nil
}

// DescribeListeners shows the listeners of a load balancer, or those of the ARNs.
func (s *Service) DescribeListeners(ctx context.Context, in *api.DescribeListenersInput) (*api.DescribeListenersOutput, error) {
	r := s.Store.Read()
	if (in.LoadBalancerArn == nil) == (len(in.ListenerArns) == 0) {
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	}
	var found []Listener
	for _, arn := range in.ListenerArns {
		v, err := findListener(ctx, r, &arn)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	if in.LoadBalancerArn != nil {
		lb, err := findLoadBalancer(ctx, r, in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		found = slices.Collect(Listeners.Prefix(r, lb.Key()+"/"))
	}
	slices.SortFunc(found, func(a, b Listener) int { return strings.Compare(a.Key(), b.Key()) })
	found = slices.CompactFunc(found, func(a, b Listener) bool { return a.Key() == b.Key() })
	scope := scopeOf("DescribeListeners", aws.CallerFrom(ctx)) + fmt.Sprint(aws.Value(in.LoadBalancerArn), in.ListenerArns)
	page, next, err := paged(s, scope, in.Marker, in.PageSize, found, Listener.Key)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeListenersOutput{Listeners: []api.Listener{}, NextMarker: next}
	for _, v := range page {
		out.Listeners = append(out.Listeners, v.wire())
	}
	return out, nil
}

// ModifyListener replaces settings of a listener; what is not given stays. A protocol without TLS takes policy and certificates away.
func (s *Service) ModifyListener(ctx context.Context, in *api.ModifyListenerInput) (*api.ModifyListenerOutput, error) {
	var out Listener
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, lb, err := findListenerWithBalancer(ctx, tx, in.ListenerArn)
		if err != nil {
			return err
		}
		port, old := v.Port, v.Protocol
		v.Port, v.Protocol = cmp.Or(aws.Value(in.Port), v.Port), cmp.Or(in.Protocol, v.Protocol)
		if v.Port != port {
			for have := range Listeners.Prefix(tx, lb.Key()+"/") {
				if have.Port == v.Port {
					return aws.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", lb.ARN())
				}
			}
		}
		check := actionCheck{ctx, tx, lb, v.Protocol}
		want := listenerSettings{in.SslPolicy, in.Certificates, in.AlpnPolicy, in.MutualAuthentication, in.DefaultActions}
		if want.actions == nil && v.Protocol != old {
			want.actions = v.DefaultActions // they must fit the new protocol as well
		}
		if v, err = want.apply(check, v); err != nil {
			return err
		}
		if v.Protocol != old {
			for _, rule := range rulesOf(tx, v) {
				if _, err := check.actions(rule.Actions); err != nil {
					return err
				}
			}
			v.Attributes = listenerAttributes.kept(string(v.Protocol), v.Attributes)
		}
		Listeners.Put(tx, v)
		out = v
		return tooManyGroups(tx, lb)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyListenerOutput{Listeners: []api.Listener{out.wire()}}, nil
}

// DeleteListener removes a listener with its rules.
func (s *Service) DeleteListener(ctx context.Context, in *api.DeleteListenerInput) (*api.DeleteListenerOutput, error) {
	return &api.DeleteListenerOutput{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findListener(ctx, tx, in.ListenerArn)
		if err != nil {
			return err
		}
		deleteListener(tx, v)
		return nil
	})
}

func deleteListener(tx *store.Tx, v Listener) {
	for rule := range Rules.Prefix(tx, v.Key()+"/") {
		Rules.Delete(tx, rule.Key())
	}
	Listeners.Delete(tx, v.Key())
}
