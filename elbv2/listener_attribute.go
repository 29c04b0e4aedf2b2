package elbv2

import (
	"context"

	api "berth/api/elbv2"
	"berth/store"
)

// Protocols of listeners that have an attribute.
var (
	httpListeners  = []string{string(api.ProtocolEnumHTTP), string(api.ProtocolEnumHTTPS)}
	httpsListeners = []string{string(api.ProtocolEnumHTTPS)}
	tcpListeners   = []string{string(api.ProtocolEnumTCP), string(api.ProtocolEnumTCPUDP)}
)

const (
	noMutual      = "there is no mutual authentication, so the header is never sent"
	withTLSHeader = "sent if routing.http.x_amzn_tls_version_and_cipher_suite.enabled is true"
)

var (
	headerNames = isLike(headerName, "must be the name of a header of at most 40 letters, digits, hyphens and underscores")
	methods     = isOneOf("GET", "HEAD", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PUT", "PATCH")
)

// listenerAttributes has every attribute of listeners of application and network load balancers.
// Source: the model, ListenerAttribute$Key.
var listenerAttributes = attributeSet{
	{"tcp.idle_timeout.seconds", tcpListeners, "350", isNumber(60, 6000), ActedOn, ""},

	{"routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert-Serial-Number", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_mtls_clientcert_issuer.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert-Issuer", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_mtls_clientcert_subject.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert-Subject", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_mtls_clientcert_validity.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert-Validity", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert-Leaf", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_mtls_clientcert.header_name", httpsListeners, "X-Amzn-Mtls-Clientcert", headerNames, StoredOnly, noMutual},
	{"routing.http.request.x_amzn_tls_version.header_name", httpsListeners, "X-Amzn-Tls-Version", headerNames, ActedOn, withTLSHeader},
	{"routing.http.request.x_amzn_tls_cipher_suite.header_name", httpsListeners, "X-Amzn-Tls-Cipher-Suite", headerNames, ActedOn, withTLSHeader},

	{"routing.http.response.server.enabled", httpListeners, "true", isBoolean, ActedOn, ""},
	{"routing.http.response.strict_transport_security.header_value", httpListeners, "", orEmpty(isLike(transportSecurity, "must be max-age=SECONDS, then includeSubDomains and preload after semicolons")), ActedOn, ""},
	{"routing.http.response.access_control_allow_origin.header_value", httpListeners, "", orEmpty(isOrigin), ActedOn, ""},
	{"routing.http.response.access_control_allow_methods.header_value", httpListeners, "", orEmpty(isListOf(methods)), ActedOn, ""},
	{"routing.http.response.access_control_allow_headers.header_value", httpListeners, "", orEmpty(isListOf(headerNames)), ActedOn, ""},
	{"routing.http.response.access_control_allow_credentials.header_value", httpListeners, "", orEmpty(isOneOf("true")), ActedOn, ""},
	{"routing.http.response.access_control_expose_headers.header_value", httpListeners, "", orEmpty(isListOf(headerNames)), ActedOn, ""},
	{"routing.http.response.access_control_max_age.header_value", httpListeners, "", orEmpty(isNumber(0, 86400)), ActedOn, ""},
	{"routing.http.response.content_security_policy.header_value", httpListeners, "", isHeaderValue, ActedOn, ""},
	{"routing.http.response.x_content_type_options.header_value", httpListeners, "", orEmpty(isOneOf("nosniff")), ActedOn, ""},
	{"routing.http.response.x_frame_options.header_value", httpListeners, "", orEmpty(frameOptions), ActedOn, ""},
}

// listenerAttributesOf are all attributes of a listener, with defaults filled in.
func listenerAttributesOf(v Listener) map[string]string {
	return listenerAttributes.of(string(v.Protocol), v.Attributes)
}

// DescribeListenerAttributes shows every attribute that a listener of its protocol has.
func (s *Service) DescribeListenerAttributes(ctx context.Context, in *api.DescribeListenerAttributesInput) (*api.DescribeListenerAttributesOutput, error) {
	v, err := findListener(ctx, s.Store.Read(), in.ListenerArn)
	if err != nil {
		return nil, err
	}
	return &api.DescribeListenerAttributesOutput{Attributes: shownListenerAttributes(v)}, nil
}

func shownListenerAttributes(v Listener) []api.ListenerAttribute {
	out, all := []api.ListenerAttribute{}, listenerAttributesOf(v)
	for _, key := range listenerAttributes.keys(string(v.Protocol)) {
		out = append(out, api.ListenerAttribute{Key: new(key), Value: new(all[key])})
	}
	return out
}

// ModifyListenerAttributes sets attributes; those that are not named stay.
func (s *Service) ModifyListenerAttributes(ctx context.Context, in *api.ModifyListenerAttributesInput) (*api.ModifyListenerAttributesOutput, error) {
	var pairs []pair
	for _, a := range in.Attributes {
		pairs = append(pairs, pair{a.Key, a.Value})
	}
	var out *api.ModifyListenerAttributesOutput
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findListener(ctx, tx, in.ListenerArn)
		if err != nil {
			return err
		}
		if v.Attributes, err = listenerAttributes.set(v.Attributes, string(v.Protocol), "Listener", pairs); err != nil {
			return err
		}
		Listeners.Put(tx, v)
		out = &api.ModifyListenerAttributesOutput{Attributes: shownListenerAttributes(v)}
		return nil
	})
	return out, err
}
