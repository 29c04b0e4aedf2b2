package servicediscovery

import (
	"strings"
	"time"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// What ECS does with services and instances stands in its own transactions, so that a task and its registration are written
// together. None of it makes an Operation.

// ServiceByARN finds a service by its ARN, whoever's it is.
func ServiceByARN(r store.Reader, arn string) (ServiceRecord, bool) {
	a, err := aws.ParseARN(arn)
	if err != nil {
		return ServiceRecord{}, false
	}
	return Services.Get(r, arnKey(place(a.Account(), a.Region()), "service", arn))
}

// HasRecord says whether DNS answers records of a type (A, AAAA, SRV, CNAME) for the service.
func (v ServiceRecord) HasRecord(kind string) bool { return v.has(api.RecordType(kind)) }

// Register adds an instance to a service, or replaces the one with its ID; Service, Registered and Health are filled in. What is
// already so is not written again. Errors are InvalidInput and ResourceLimitExceeded, and ServiceNotFound if there is no such service.
func Register(tx *store.Tx, service string, i Instance, now time.Time) error {
	v, ok := Services.Get(tx, service)
	if !ok {
		return aws.Errorf("ServiceNotFound", "The service %s was not found.", service[strings.LastIndexByte(service, '/')+1:])
	}
	if err := checkAttributes(v, i.Attributes); err != nil {
		return err
	}
	i.Service, i.Registered = service, now.UnixMilli()
	if old, ok := Instances.Get(tx, i.Key()); ok && sameAttributes(old.Attributes, i.Attributes) {
		return nil
	}
	return put(tx, v, i)
}

func sameAttributes(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if have, ok := b[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Deregister removes an instance of a service, by the service's key. It says whether there was one.
func Deregister(tx *store.Tx, service, id string) bool {
	i, ok := Instances.Get(tx, service+"/"+id)
	if !ok {
		return false
	}
	Instances.Delete(tx, i.Key())
	if v, ok := Services.Get(tx, service); ok {
		v.touch(tx)
	}
	return true
}

// SetHealth sets the health of an instance of a service with custom health; without custom health, or without the instance, it does
// nothing.
func SetHealth(tx *store.Tx, service, id string, healthy bool) {
	v, known := Services.Get(tx, service)
	i, registered := Instances.Get(tx, service+"/"+id)
	if !known || !registered || !v.CustomHealth {
		return
	}
	h := api.HealthStatusUnhealthy
	if healthy {
		h = api.HealthStatusHealthy
	}
	setHealth(tx, v, i, h)
}

// NamespaceByNameOrARN finds a namespace of an account and region by its ARN, its name for DiscoverInstances, or its name.
func NamespaceByNameOrARN(r store.Reader, account, region, nameOrARN string) (Namespace, bool) {
	at := place(account, region)
	if aws.IsARN(nameOrARN) {
		return Namespaces.Get(r, keyOf(at, "namespace", nameOrARN))
	}
	for n := range Namespaces.By(r, byNamespaceHTTPName, at+nameOrARN) {
		return n, true
	}
	for n := range Namespaces.By(r, byNamespaceName, at+strings.ToLower(nameOrARN)) {
		if n.Name == nameOrARN {
			return n, true
		}
	}
	return Namespace{}, false
}

// NewNamespaceID is a random ID for EnsureHTTPNamespace. It is made outside of transactions.
func NewNamespaceID() string { return newID("ns-") }

// EnsureHTTPNamespace finds the namespace of a name, or makes one of type HTTP with a new ID (of NewNamespaceID). Errors are InvalidInput
// and ResourceLimitExceeded.
func EnsureHTTPNamespace(tx *store.Tx, account, region, name, id string, now time.Time) (Namespace, error) {
	if n, ok := NamespaceByNameOrARN(tx, account, region, name); ok {
		return n, nil
	}
	if aws.IsARN(name) || !visible(name) || len(name) > maxNamespaceName {
		return Namespace{}, invalid("The name of the namespace must not begin with arn: and must have 1 to %d visible ASCII characters only.", maxNamespaceName)
	}
	n := Namespace{Account: account, Region: region, ID: id, Name: name, Type: api.NamespaceTypeHTTP, Created: now.UnixMilli(), Creator: id}
	err := addNamespace(tx, n)
	n, _ = Namespaces.Get(tx, n.Key())
	return n, err
}

// maxNamespaceName is the length of the longest name of a namespace. Source: Cloud Map API, CreateHttpNamespace.
const maxNamespaceName = 1024

// ReleaseHTTPService removes a service that EnsureHTTPService made, by its key, if it has no instances.
func ReleaseHTTPService(tx *store.Tx, key string) {
	v, ok := Services.Get(tx, key)
	if ok && v.Type == api.ServiceTypeHTTP && v.Creator == v.ID && Instances.CountBy(tx, byInstanceService, key) == 0 {
		Services.Delete(tx, key)
	}
}

// DerivedID is an ID for EnsureHTTPService that follows from a text, always the same.
func DerivedID(text string) string { return "srv-" + strings.ToLower(derived(text, 16)) }

// EnsureHTTPService finds the service of a namespace with a name, or makes one of type HTTP with an ID (of DerivedID). A service of that
// name that DNS knows is taken as it is. Errors are InvalidInput.
func EnsureHTTPService(tx *store.Tx, n Namespace, name, id string, now time.Time) (ServiceRecord, error) {
	if v, ok := serviceNamed(tx, n, name); ok {
		return v, nil
	}
	if err := checkServiceName(name); err != nil {
		return ServiceRecord{}, err
	}
	v := ServiceRecord{
		Account: n.Account, Region: n.Region, ID: id, Namespace: n.ID, Name: name, Type: api.ServiceTypeHTTP,
		Created: now.UnixMilli(), Creator: id, Revision: 1,
	}
	Services.Put(tx, v)
	return v, nil
}
