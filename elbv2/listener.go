package elbv2

import (
	"slices"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// Listener is the record of one port of a load balancer.
type Listener struct {
	LoadBalancer string `json:"lb"` // key of the load balancer. Written by: CreateListener
	ID           string `json:"i"`  // 16 hex digits. Written by: CreateListener

	// Written by: CreateListener, ModifyListener.
	Port           int32            `json:"p"`
	Protocol       api.ProtocolEnum `json:"pr"`
	SSLPolicy      string           `json:"sp,omitzero"`
	ALPN           []string         `json:"al,omitzero"`
	DefaultActions []api.Action     `json:"da"`          // also by SetForward
	Certificate    string           `json:"ce,omitzero"` // ARN of the default certificate
	// Certificates are further ones, chosen by SNI. Written by: AddListenerCertificates, RemoveListenerCertificates.
	Certificates []string `json:"cs,omitzero"`
	// Attributes are those that were set. Written by: ModifyListenerAttributes.
	Attributes map[string]string `json:"at,omitzero"`
	// Written by: CreateListener, AddTags, RemoveTags.
	Tags map[string]string `json:"t,omitzero"`
	// DefaultTags are those of the default rule, which has no record. Written by: AddTags, RemoveTags.
	DefaultTags map[string]string `json:"dt,omitzero"`
}

// Listeners is the table of listeners, by the load balancer's key/ID.
var Listeners = store.NewTable("elbv2/listener", Listener.Key,
	store.Index("group", func(v Listener) []string { return groupsOf(v.DefaultActions) }),
	store.Index(byCertificate, Listener.certificates),
)

// byCertificate is the index of Listeners by the ARNs of their certificates.
const byCertificate = "certificate"

// certificates are the ARNs of all certificates of the listener, each once, the default first.
func (v Listener) certificates() (out []string) {
	for _, arn := range append([]string{v.Certificate}, v.Certificates...) {
		if arn != "" && !slices.Contains(out, arn) {
			out = append(out, arn)
		}
	}
	return out
}

// CertificateUsers lists the ARNs of load balancers whose listeners have a certificate, each once.
func CertificateUsers(r store.Reader, certificate string) (out []string) {
	for v := range Listeners.By(r, byCertificate, certificate) {
		if arn := arnOf("loadbalancer", v.LoadBalancer).String(); !slices.Contains(out, arn) {
			out = append(out, arn)
		}
	}
	return out
}

// Key is the load balancer's key and the ID.
func (v Listener) Key() string { return v.LoadBalancer + "/" + v.ID }

// ARN names the listener.
func (v Listener) ARN() aws.ARN { return arnOf("listener", v.Key()) }

// arnOf makes an ARN of a kind and a key that begins with account/region/.
func arnOf(kind, key string) aws.ARN {
	account, region, path := splitKey(key)
	return aws.NewARN("elasticloadbalancing", region, account, kind+"/"+path)
}
