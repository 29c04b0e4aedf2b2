package elbv2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/acm"
	acmapi "berth/api/acm"
	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/store"
)

// apiWorld is the service with everything that its operations stand on.
type apiWorld struct {
	*testing.T
	*Service
	ctx     context.Context
	subnets []string // three, in different zones
}

func newAPIWorld(t *testing.T) *apiWorld {
	t.Helper()
	st, err := store.Open(store.Config{Tables: slices.Concat(Tables(), ec2.Tables(), acm.Tables())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &apiWorld{T: t, ctx: aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))}
	w.Service = New(Deps{
		Store: st, Now: func() time.Time { return time.UnixMilli(1_900_000_000_000) }, Pages: aws.NewPages([]byte("test")),
		Machine: func(store.Reader, string, string, string) (Machine, bool) { return Machine{}, false },
	})
	for _, s := range ec2.DefaultSubnets(st.Read(), testAccount, testRegion) {
		w.subnets = append(w.subnets, s.ID)
	}
	if len(w.subnets) < 3 {
		t.Fatalf("only %d subnets", len(w.subnets))
	}
	return w
}

// answer does an operation with an input in JSON, checked as the front door checks it, and gives the error as "Code: text".
func (w *apiWorld) answer(operation, text string) (any, string) {
	w.Helper()
	op := api.API.Operation(operation)
	in := op.Input()
	d := json.NewDecoder(strings.NewReader(w.named(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		w.Fatalf("%s %s: %v", operation, text, err)
	}
	if err := in.(interface{ Validate() error }).Validate(); err != nil {
		return nil, "model: " + err.Error()
	}
	out, err := op.Invoke(w.ctx, w.Service, in)
	if err == nil {
		return out, ""
	}
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		w.Fatalf("%s %s: not an error for users: %v", operation, text, err)
	}
	if e.Code != codeInvalid && !slices.Contains(op.Errors, e.Code) && !api.API.Has(e.Code) {
		w.Errorf("%s: the model has no error %s", operation, e.Code)
	}
	return nil, e.Error()
}

// named replaces SUBNET1 to SUBNET3 by their IDs.
func (w *apiWorld) named(text string) string {
	return strings.NewReplacer("SUBNET1", w.subnets[0], "SUBNET2", w.subnets[1], "SUBNET3", w.subnets[2]).Replace(text)
}

// do does an operation that must not fail.
func do[O any](w *apiWorld, operation, text string) *O {
	w.Helper()
	out, failure := w.answer(operation, text)
	if failure != "" {
		w.Fatalf("%s %s: %s", operation, text, failure)
	}
	return out.(*O)
}

// balancer makes a load balancer and returns its ARN.
func (w *apiWorld) balancer(name, kind string) string {
	w.Helper()
	out := do[api.CreateLoadBalancerOutput](w, "CreateLoadBalancer", `{"Name":"`+name+`","Type":"`+kind+`","Subnets":["SUBNET1","SUBNET2"]}`)
	return *out.LoadBalancers[0].LoadBalancerArn
}

// targetGroup makes a target group and returns its ARN.
func (w *apiWorld) targetGroup(name, protocol, more string) string {
	w.Helper()
	vpc := ec2.DefaultVPCID(testAccount, testRegion)
	out := do[api.CreateTargetGroupOutput](w, "CreateTargetGroup", `{"Name":"`+name+`","Protocol":"`+protocol+`","Port":80,"VpcId":"`+vpc+`"`+more+`}`)
	return *out.TargetGroups[0].TargetGroupArn
}

// listener makes a listener that forwards to a target group and returns its ARN.
func (w *apiWorld) listener(balancer, group, more string) string {
	w.Helper()
	out := do[api.CreateListenerOutput](w, "CreateListener", `{"LoadBalancerArn":"`+balancer+`",`+more+`,"DefaultActions":[{"Type":"forward","TargetGroupArn":"`+group+`"}]}`)
	return *out.Listeners[0].ListenerArn
}

// certificate imports a certificate and returns its ARN.
func (w *apiWorld) certificate(name string) string {
	w.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.T)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(w.T)
	private := must(x509.MarshalPKCS8PrivateKey(key))(w.T)
	out := must(acm.New(acm.Deps{Store: w.Store, Pages: w.Pages}).ImportCertificate(w.ctx, &acmapi.ImportCertificateRequest{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), PrivateKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}))(w.T)
	return *out.CertificateArn
}

// snapshot is everything that is in the tables of load balancing, for finding out that nothing was changed.
func (w *apiWorld) snapshot() string {
	w.Helper()
	r := w.Store.Read()
	text, err := json.Marshal([]any{
		slices.Collect(LoadBalancers.All(r)), slices.Collect(Listeners.All(r)), slices.Collect(Rules.All(r)), slices.Collect(ec2.Interfaces.All(r)),
	})
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// badInput is an input that is refused, with the beginning of the error.
type badInput struct{ operation, input, want string }

// refuses sends bad inputs, none of which may change anything.
func (w *apiWorld) refuses(rows []badInput) {
	w.Helper()
	before := w.snapshot()
	for _, row := range rows {
		if _, got := w.answer(row.operation, row.input); got == "" || !strings.HasPrefix(got, row.want) {
			w.Errorf("%s %s\n got %s\nwant %s", row.operation, row.input, got, row.want)
		}
	}
	if w.snapshot() != before {
		w.Error("a bad input changed something")
	}
}
