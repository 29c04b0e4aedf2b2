package wire

import (
	"net"
	"net/http"
	"strings"

	"berth/aws"
)

const signPrefix = "AWS4-HMAC-SHA256"

// isSigned says whether r claims to be signed for AWS, in its header or its URL, or names a target.
func isSigned(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") || r.Header.Get("X-Amz-Target") != "" ||
		strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=") || r.URL.Path == "/" && isForm(r)
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// route tells the service of a request from its target header, else from the credential scope, else from the host
// name. The second result is the operation of the target header.
func (f *frontDoor) route(r *http.Request) (*Service, string) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		dot := strings.LastIndexByte(target, '.')
		if dot < 0 {
			return f.bySigning[scopeService(r)], target
		}
		return f.byTarget[target[:dot]], target[dot+1:]
	}
	if s := f.bySigning[scopeService(r)]; s != nil {
		return s, ""
	}
	return f.byHost(r.Host), ""
}

// scopeService is the service that the credential scope names, or "".
func scopeService(r *http.Request) string {
	credential := ""
	if auth := r.Header.Get("Authorization"); strings.HasPrefix(auth, signPrefix) {
		if _, after, found := strings.Cut(auth, "Credential="); found {
			credential, _, _ = strings.Cut(after, ",")
		}
	} else if strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) < 5 {
		return ""
	}
	return parts[len(parts)-2]
}

// byHost finds ecs.us-east-1.example.com, api.ecr.localhost and so on.
func (f *frontDoor) byHost(host string) *Service {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := strings.Split(strings.ToLower(host), ".")
	if len(labels) < 2 {
		return nil
	}
	if s := f.byEndpoint[labels[0]]; s != nil {
		return s
	}
	return f.byEndpoint[labels[0]+"."+labels[1]]
}

// unknownService is the answer when no service fits. It names nothing that runs here.
func unknownService(r *http.Request) *aws.Error {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return aws.Errorf("UnknownOperationException", "Unknown operation.")
	}
	if service := scopeService(r); service != "" {
		return aws.Errorf("UnknownOperationException", "The service %.64q is not supported by this Berth.", service)
	}
	if isSigned(r) {
		return &aws.Error{Code: "MissingAuthenticationToken", Message: "Request is missing Authentication Token", Status: http.StatusForbidden}
	}
	return &aws.Error{Code: "UnknownOperationException", Message: "There is nothing at this address.", Status: http.StatusNotFound}
}

func unknownAction(api *aws.API, action string) *aws.Error {
	if action == "" {
		return aws.Errorf("MissingAction", "The request must contain the parameter Action.")
	}
	return api.Unknown(action)
}

func isXML(api *aws.API) bool {
	return api != nil && (api.Protocol == aws.Query || api.Protocol == aws.EC2)
}
