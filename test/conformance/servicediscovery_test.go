package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"
	"github.com/google/go-cmp/cmp"

	api "berth/api/servicediscovery"
	product "berth/servicediscovery"
)

// cloudMap is a client that reaches the endpoint by a host name: the SDK puts "data-" before the host of discovery.
func (w *world) cloudMap() *servicediscovery.Client {
	at := must(url.Parse(w.url))(w.t)
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	return servicediscovery.New(servicediscovery.Options{
		BaseEndpoint: new("http://servicediscovery.localhost:" + at.Port()), Region: region, Credentials: c, RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.Host)
		}}},
	})
}

// finished is what an operation was done to.
func finished(t *testing.T, c *servicediscovery.Client, id *string, kind types.OperationType) map[string]string {
	t.Helper()
	o := must(c.GetOperation(t.Context(), &servicediscovery.GetOperationInput{OperationId: id}))(t).Operation
	if o.Status != types.OperationStatusSuccess || o.Type != kind || !recent(o.CreateDate) || !recent(o.UpdateDate) {
		t.Errorf("operation %+v, want %s", o, kind)
	}
	return o.Targets
}

func privateNamespace(t *testing.T, c *servicediscovery.Client, vpc *string, name string) string {
	t.Helper()
	out := must(c.CreatePrivateDnsNamespace(t.Context(), &servicediscovery.CreatePrivateDnsNamespaceInput{Name: &name, Vpc: vpc}))(t)
	return finished(t, c, out.OperationId, types.OperationTypeCreateNamespace)["NAMESPACE"]
}

func httpNamespace(t *testing.T, c *servicediscovery.Client, name string) string {
	t.Helper()
	out := must(c.CreateHttpNamespace(t.Context(), &servicediscovery.CreateHttpNamespaceInput{Name: &name}))(t)
	return finished(t, c, out.OperationId, types.OperationTypeCreateNamespace)["NAMESPACE"]
}

func TestServiceDiscoveryNamespaces(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.cloudMap(), t.Context()
	in := &servicediscovery.CreatePrivateDnsNamespaceInput{
		Name: new("corp.local"), Vpc: new(w.vpc()), CreatorRequestId: new("one"), Description: new("d"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	}
	first := must(c.CreatePrivateDnsNamespace(ctx, in))(t)
	id := finished(t, c, first.OperationId, types.OperationTypeCreateNamespace)["NAMESPACE"]
	if again := must(c.CreatePrivateDnsNamespace(ctx, in))(t); *again.OperationId != *first.OperationId {
		t.Error("the same request made another operation")
	}
	in.CreatorRequestId = new("two")
	_, err := c.CreatePrivateDnsNamespace(ctx, in)
	wantError(t, err, "NamespaceAlreadyExists", "A namespace with the name corp.local exists already.")
	got := must(c.GetNamespace(ctx, &servicediscovery.GetNamespaceInput{Id: &id}))(t).Namespace
	arn := "arn:aws:servicediscovery:" + region + ":" + w.account + ":namespace/" + id
	if *got.Arn != arn || *got.Name != "corp.local" || got.Type != types.NamespaceTypeDnsPrivate || *got.Properties.DnsProperties.SOA.TTL != 15 ||
		*got.Properties.HttpProperties.HttpName != "corp.local" || *got.CreatorRequestId != "one" || *got.ServiceCount != 0 || !recent(got.CreateDate) {
		t.Errorf("got %+v", got)
	}
	zone := *got.Properties.DnsProperties.HostedZoneId
	second := httpNamespace(t, c, "corp.local")
	other := must(c.GetNamespace(ctx, &servicediscovery.GetNamespaceInput{Id: &second}))(t).Namespace
	if name := *other.Properties.HttpProperties.HttpName; !strings.HasPrefix(name, "corp.local-") || other.Properties.DnsProperties != nil {
		t.Errorf("HTTP name %s, %+v", name, other.Properties)
	}
	t.Run("ListNamespaces", func(t *testing.T) {
		for _, f := range []struct {
			name      types.NamespaceFilterName
			condition types.FilterCondition
			value     string
			want      int
		}{
			{types.NamespaceFilterNameType, types.FilterConditionEq, "HTTP", 1}, {types.NamespaceFilterNameName, "", "corp.local", 2},
			{types.NamespaceFilterNameHttpName, types.FilterConditionBeginsWith, "corp", 2}, {types.NamespaceFilterNameName, types.FilterConditionBeginsWith, "x", 0},
			{types.NamespaceFilterNameResourceOwner, "", "SELF", 2}, {types.NamespaceFilterNameResourceOwner, "", "OTHER_ACCOUNTS", 0},
		} {
			in := &servicediscovery.ListNamespacesInput{MaxResults: new(int32(1)), Filters: []types.NamespaceFilter{{Name: f.name, Condition: f.condition, Values: []string{f.value}}}}
			n := 0
			for pages := servicediscovery.NewListNamespacesPaginator(c, in); pages.HasMorePages(); {
				n += len(must(pages.NextPage(ctx))(t).Namespaces)
			}
			if n != f.want {
				t.Errorf("%s %s %s: %d namespaces, want %d", f.name, f.condition, f.value, n, f.want)
			}
		}
	})
	t.Run("UpdatePrivateDnsNamespace", func(t *testing.T) {
		out := must(c.UpdatePrivateDnsNamespace(ctx, &servicediscovery.UpdatePrivateDnsNamespaceInput{Id: &arn, Namespace: &types.PrivateDnsNamespaceChange{
			Properties: &types.PrivateDnsNamespacePropertiesChange{DnsProperties: &types.PrivateDnsPropertiesMutableChange{SOA: &types.SOAChange{TTL: new(int64(7))}}},
		}}))(t)
		finished(t, c, out.OperationId, types.OperationTypeUpdateNamespace)
		got := must(c.GetNamespace(ctx, &servicediscovery.GetNamespaceInput{Id: &arn}))(t).Namespace
		if *got.Properties.DnsProperties.SOA.TTL != 7 || *got.Description != "d" || *got.Properties.DnsProperties.HostedZoneId != zone {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("UpdateHttpNamespace", func(t *testing.T) {
		must(c.UpdateHttpNamespace(ctx, &servicediscovery.UpdateHttpNamespaceInput{Id: &second, Namespace: &types.HttpNamespaceChange{Description: new("new")}}))(t)
		if got := must(c.GetNamespace(ctx, &servicediscovery.GetNamespaceInput{Id: &second}))(t).Namespace; *got.Description != "new" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("Tags", func(t *testing.T) {
		must(c.TagResource(ctx, &servicediscovery.TagResourceInput{ResourceARN: &arn, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}}))(t)
		must(c.UntagResource(ctx, &servicediscovery.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"k"}}))(t)
		tags := must(c.ListTagsForResource(ctx, &servicediscovery.ListTagsForResourceInput{ResourceARN: &arn}))(t).Tags
		if len(tags) != 1 || *tags[0].Key != "a" || *tags[0].Value != "b" {
			t.Errorf("tags %+v", tags)
		}
	})
	t.Run("ListOperations", func(t *testing.T) {
		in := &servicediscovery.ListOperationsInput{Filters: []types.OperationFilter{{Name: types.OperationFilterNameNamespaceId, Values: []string{id}}}}
		if got := must(c.ListOperations(ctx, in))(t).Operations; len(got) != 2 || got[0].Status != types.OperationStatusSuccess {
			t.Errorf("operations %+v", got)
		}
		in.Filters = []types.OperationFilter{{Name: types.OperationFilterNameType, Condition: types.FilterConditionIn, Values: []string{"CREATE_NAMESPACE", "UPDATE_SERVICE"}}}
		if got := must(c.ListOperations(ctx, in))(t).Operations; len(got) != 2 {
			t.Errorf("operations %+v", got)
		}
	})
	t.Run("DeleteNamespace", func(t *testing.T) {
		s := must(c.CreateService(ctx, &servicediscovery.CreateServiceInput{Name: new("s"), NamespaceId: &second}))(t).Service
		_, err := c.DeleteNamespace(ctx, &servicediscovery.DeleteNamespaceInput{Id: &second})
		wantError(t, err, "ResourceInUse", "The namespace "+second+" has services. Delete them first.")
		must(c.DeleteService(ctx, &servicediscovery.DeleteServiceInput{Id: s.Arn}))(t)
		out := must(c.DeleteNamespace(ctx, &servicediscovery.DeleteNamespaceInput{Id: &second}))(t)
		finished(t, c, out.OperationId, types.OperationTypeDeleteNamespace)
		_, err = c.GetNamespace(ctx, &servicediscovery.GetNamespaceInput{Id: &second})
		wantError(t, err, "NamespaceNotFound", "The namespace "+second+" was not found.")
	})
}

func TestServiceDiscoveryServices(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.cloudMap(), t.Context()
	ns := privateNamespace(t, c, new(w.vpc()), "corp.local")
	in := &servicediscovery.CreateServiceInput{
		Name: new("web"), NamespaceId: &ns, CreatorRequestId: new("one"), HealthCheckCustomConfig: &types.HealthCheckCustomConfig{},
		DnsConfig: &types.DnsConfig{DnsRecords: []types.DnsRecord{{Type: types.RecordTypeA, TTL: new(int64(60))}, {Type: types.RecordTypeAaaa, TTL: new(int64(60))}}},
	}
	s := must(c.CreateService(ctx, in))(t).Service
	if s.Type != types.ServiceTypeDnsHttp || s.DnsConfig.RoutingPolicy != types.RoutingPolicyMultivalue || *s.HealthCheckCustomConfig.FailureThreshold != 1 ||
		*s.NamespaceId != ns || *s.InstanceCount != 0 || !recent(s.CreateDate) || *s.Arn != "arn:aws:servicediscovery:"+region+":"+w.account+":service/"+*s.Id {
		t.Errorf("got %+v", s)
	}
	if again := must(c.CreateService(ctx, in))(t).Service; *again.Id != *s.Id {
		t.Error("the same request made another service")
	}
	in.CreatorRequestId, in.Name = new("two"), new("WEB")
	_, err := c.CreateService(ctx, in)
	wantError(t, err, "ServiceAlreadyExists", "A service with the name WEB exists already in the namespace "+ns+".")
	t.Run("ListServices", func(t *testing.T) {
		got := must(c.ListServices(ctx, &servicediscovery.ListServicesInput{Filters: []types.ServiceFilter{{Name: types.ServiceFilterNameNamespaceId, Values: []string{ns}}}}))(t)
		if len(got.Services) != 1 || *got.Services[0].Id != *s.Id {
			t.Errorf("got %+v", got.Services)
		}
	})
	t.Run("UpdateService", func(t *testing.T) {
		out := must(c.UpdateService(ctx, &servicediscovery.UpdateServiceInput{Id: s.Id, Service: &types.ServiceChange{
			Description: new("d"), DnsConfig: &types.DnsConfigChange{DnsRecords: []types.DnsRecord{{Type: types.RecordTypeA, TTL: new(int64(5))}}},
		}}))(t)
		if finished(t, c, out.OperationId, types.OperationTypeUpdateService)["SERVICE"] != *s.Id {
			t.Error("the operation has another target")
		}
		got := must(c.GetService(ctx, &servicediscovery.GetServiceInput{Id: s.Arn}))(t).Service
		if len(got.DnsConfig.DnsRecords) != 1 || *got.DnsConfig.DnsRecords[0].TTL != 5 || *got.Description != "d" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("Attributes", func(t *testing.T) {
		must(c.UpdateServiceAttributes(ctx, &servicediscovery.UpdateServiceAttributesInput{ServiceId: s.Id, Attributes: map[string]string{"a": "1", "b": "2"}}))(t)
		must(c.DeleteServiceAttributes(ctx, &servicediscovery.DeleteServiceAttributesInput{ServiceId: s.Id, Attributes: []string{"a"}}))(t)
		got := must(c.GetServiceAttributes(ctx, &servicediscovery.GetServiceAttributesInput{ServiceId: s.Id}))(t).ServiceAttributes
		if diff := cmp.Diff(got.Attributes, map[string]string{"b": "2"}); diff != "" || *got.ServiceArn != *s.Arn {
			t.Error(diff)
		}
		many := map[string]string{}
		for i := range 30 {
			many[fmt.Sprint(i)] = "x"
		}
		_, err := c.UpdateServiceAttributes(ctx, &servicediscovery.UpdateServiceAttributesInput{ServiceId: s.Id, Attributes: many})
		wantError(t, err, "ServiceAttributesLimitExceededException", "A service can have at most 30 attributes.")
	})
}

func TestServiceDiscoveryInstances(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.cloudMap(), t.Context()
	ns := httpNamespace(t, c, "apps")
	s := must(c.CreateService(ctx, &servicediscovery.CreateServiceInput{Name: new("web"), NamespaceId: &ns, HealthCheckCustomConfig: &types.HealthCheckCustomConfig{}}))(t).Service
	register := func(id, token string, attributes map[string]string) string {
		t.Helper()
		out := must(c.RegisterInstance(ctx, &servicediscovery.RegisterInstanceInput{ServiceId: s.Id, InstanceId: &id, CreatorRequestId: &token, Attributes: attributes}))(t)
		if got := finished(t, c, out.OperationId, types.OperationTypeRegisterInstance); got["INSTANCE"] != id || got["SERVICE"] != *s.Id {
			t.Errorf("targets %v", got)
		}
		return *out.OperationId
	}
	revision := func() int64 {
		t.Helper()
		return *must(c.DiscoverInstancesRevision(ctx, &servicediscovery.DiscoverInstancesRevisionInput{NamespaceName: new("apps"), ServiceName: new("web")}))(t).InstancesRevision
	}
	discover := func(change func(*servicediscovery.DiscoverInstancesInput)) []string {
		t.Helper()
		in := &servicediscovery.DiscoverInstancesInput{NamespaceName: new("apps"), ServiceName: new("web")}
		change(in)
		ids := []string{}
		for _, i := range must(c.DiscoverInstances(ctx, in))(t).Instances {
			ids = append(ids, *i.InstanceId)
		}
		slices.Sort(ids)
		return ids
	}
	before := revision()
	op := register("i/1", "t1", map[string]string{"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "80", "zone": "a"})
	if again := register("i/1", "t1", map[string]string{"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "80", "zone": "a"}); again != op {
		t.Error("the same request made another operation")
	}
	register("i/2", "t2", map[string]string{"zone": "b", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"})
	register("i/3", "t3", map[string]string{"zone": "b"})
	if now := revision(); now != before+3 {
		t.Errorf("revision %d after three changes of %d", now, before)
	}
	for _, row := range []struct {
		change func(*servicediscovery.DiscoverInstancesInput)
		want   string
	}{
		{func(*servicediscovery.DiscoverInstancesInput) {}, "[i/1 i/3]"},
		{func(in *servicediscovery.DiscoverInstancesInput) { in.HealthStatus = types.HealthStatusFilterAll }, "[i/1 i/2 i/3]"},
		{func(in *servicediscovery.DiscoverInstancesInput) { in.HealthStatus = types.HealthStatusFilterUnhealthy }, "[i/2]"},
		{func(in *servicediscovery.DiscoverInstancesInput) { in.QueryParameters = map[string]string{"zone": "b"} }, "[i/3]"},
		{func(in *servicediscovery.DiscoverInstancesInput) { in.QueryParameters = map[string]string{"zone": "c"} }, "[]"},
		{func(in *servicediscovery.DiscoverInstancesInput) {
			in.OptionalParameters = map[string]string{"zone": "a"}
		}, "[i/1]"},
		{func(in *servicediscovery.DiscoverInstancesInput) {
			in.OptionalParameters = map[string]string{"zone": "c"}
		}, "[i/1 i/3]"},
	} {
		if got := fmt.Sprint(discover(row.change)); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
	if got := discover(func(in *servicediscovery.DiscoverInstancesInput) { in.MaxResults = new(int32(1)) }); len(got) != 1 {
		t.Errorf("one asked for, got %v", got)
	}
	t.Run("Health", func(t *testing.T) {
		for _, id := range []string{"i/1", "i/3"} {
			must(c.UpdateInstanceCustomHealthStatus(ctx, &servicediscovery.UpdateInstanceCustomHealthStatusInput{ServiceId: s.Arn, InstanceId: &id, Status: types.CustomHealthStatusUnhealthy}))(t)
		}
		got := map[string]types.HealthStatus{}
		in := &servicediscovery.GetInstancesHealthStatusInput{ServiceId: s.Id, MaxResults: new(int32(2))}
		for pages := servicediscovery.NewGetInstancesHealthStatusPaginator(c, in); pages.HasMorePages(); {
			for id, h := range must(pages.NextPage(ctx))(t).Status {
				got[id] = h
			}
		}
		if diff := cmp.Diff(got, map[string]types.HealthStatus{"i/1": "UNHEALTHY", "i/2": "UNHEALTHY", "i/3": "UNHEALTHY"}); diff != "" {
			t.Error(diff)
		}
		if got := fmt.Sprint(discover(func(in *servicediscovery.DiscoverInstancesInput) {
			in.HealthStatus = types.HealthStatusFilterHealthyOrElseAll
		})); got != "[i/1 i/2 i/3]" {
			t.Errorf("none is healthy: got %s", got)
		}
		if got := discover(func(in *servicediscovery.DiscoverInstancesInput) { in.HealthStatus = types.HealthStatusFilterHealthy }); len(got) != 0 {
			t.Errorf("none is healthy: got %s", got)
		}
	})
	t.Run("ListInstances", func(t *testing.T) {
		n := 0
		for pages := servicediscovery.NewListInstancesPaginator(c, &servicediscovery.ListInstancesInput{ServiceId: s.Id, MaxResults: new(int32(2))}); pages.HasMorePages(); {
			n += len(must(pages.NextPage(ctx))(t).Instances)
		}
		got := must(c.GetInstance(ctx, &servicediscovery.GetInstanceInput{ServiceId: s.Id, InstanceId: new("i/1")}))(t).Instance
		if n != 3 || got.Attributes["zone"] != "a" || *got.CreatorRequestId != "t1" {
			t.Errorf("%d instances, %+v", n, got)
		}
	})
	t.Run("DeregisterInstance", func(t *testing.T) {
		_, err := c.DeleteService(ctx, &servicediscovery.DeleteServiceInput{Id: s.Id})
		wantError(t, err, "ResourceInUse", "The service "+*s.Id+" has registered instances. Deregister them first.")
		for _, id := range []string{"i/1", "i/2", "i/3"} {
			out := must(c.DeregisterInstance(ctx, &servicediscovery.DeregisterInstanceInput{ServiceId: s.Id, InstanceId: &id}))(t)
			finished(t, c, out.OperationId, types.OperationTypeDeregisterInstance)
		}
		_, err = c.DeregisterInstance(ctx, &servicediscovery.DeregisterInstanceInput{ServiceId: s.Id, InstanceId: new("i/1")})
		wantError(t, err, "InstanceNotFound", "The instance i/1 was not found in the service "+*s.Id+".")
		must(c.DeleteService(ctx, &servicediscovery.DeleteServiceInput{Id: s.Id}))(t)
	})
}

func TestServiceDiscoveryRefusesBadInput(t *testing.T) {
	w := ownAccount(t)
	c, ctx := w.cloudMap(), t.Context()
	ns, plain := privateNamespace(t, c, new(w.vpc()), "corp.local"), httpNamespace(t, c, "apps")
	service := func(kinds ...types.RecordType) string {
		in := &servicediscovery.CreateServiceInput{Name: new(name("s")), NamespaceId: &ns, DnsConfig: &types.DnsConfig{RoutingPolicy: types.RoutingPolicyWeighted}}
		for _, k := range kinds {
			in.DnsConfig.DnsRecords = append(in.DnsConfig.DnsRecords, types.DnsRecord{Type: k, TTL: new(int64(1))})
		}
		return *must(c.CreateService(ctx, in))(t).Service.Id
	}
	a, srv, cname, both := service("A"), service("SRV"), service("CNAME"), service("A", "AAAA")
	found := must(c.CreateService(ctx, &servicediscovery.CreateServiceInput{Name: new("h"), NamespaceId: &plain}))(t).Service
	create := func(rest string) string { return `{"Name":"n","NamespaceId":"` + ns + `"` + rest + `}` }
	instance := func(service string, attributes ...string) string {
		m := map[string]string{}
		for i := 0; i < len(attributes); i += 2 {
			m[attributes[i]] = attributes[i+1]
		}
		text, _ := json.Marshal(m)
		return `{"ServiceId":"` + service + `","InstanceId":"i","Attributes":` + string(text) + `}`
	}
	const in = "InvalidInput: "
	const one = in + "1 validation error detected: Value "
	w.refuses("servicediscovery", []bad{
		{"CreateHttpNamespace", `{}`, one + "null at 'Name' failed to satisfy constraint: Member must not be null"},
		{"CreateHttpNamespace", `{"Name":"arn:x"}`, in + "The name of the namespace must not begin with arn: and must have visible ASCII characters only."},
		{"CreateHttpNamespace", `{"Name":"a b"}`, in + "The name of the namespace must not begin with arn: and must have visible ASCII characters only."},
		{"CreateHttpNamespace", `{"Name":"t","Tags":[{"Key":"aws:x","Value":""}]}`, in + "The tag key aws:x is reserved: keys must not begin with aws:."},
		{"CreatePublicDnsNamespace", `{"Name":"example.com"}`, in + "Public DNS namespaces are not supported: no domain is delegated to Berth. Use CreatePrivateDnsNamespace."},
		{"UpdatePublicDnsNamespace", `{"Id":"` + plain + `","Namespace":{}}`, in + "Public DNS namespaces are not supported: no domain is delegated to Berth. Use CreatePrivateDnsNamespace."},
		{"CreatePrivateDnsNamespace", `{"Name":"x..y","Vpc":"vpc-1"}`, in + "The name of the namespace is not a DNS name: each label must have 1 to 63 characters."},
		{"CreatePrivateDnsNamespace", `{"Name":"x_\u00e4","Vpc":"vpc-1"}`, in + "The name of the namespace is not a DNS name: labels have letters, digits, hyphens and underscores."},
		{"CreatePrivateDnsNamespace", `{"Name":"a.Berth.internal","Vpc":"vpc-1"}`, in + "The names below berth.internal are Berth's own."},
		{"CreatePrivateDnsNamespace", `{"Name":"x","Vpc":"net"}`, in + "The VPC ID net is not valid."},
		{"CreatePrivateDnsNamespace", `{"Name":"x","Vpc":"vpc-1"}`, in + "The VPC vpc-1 does not exist."},
		{"CreatePrivateDnsNamespace", `{"Name":"CORP.local","Vpc":"vpc-2"}`, "NamespaceAlreadyExists: A namespace with the name CORP.local exists already."},
		{"GetNamespace", `{"Id":"ns-none"}`, "NamespaceNotFound: The namespace ns-none was not found."},
		{"GetNamespace", `{"Id":"arn:aws:servicediscovery:eu-west-1:` + w.account + `:namespace/` + ns + `"}`, "NamespaceNotFound: The namespace arn:aws:servicediscovery:eu-west-1:" + w.account + ":namespace/" + ns + " was not found."},
		{"UpdateHttpNamespace", `{"Id":"` + ns + `","Namespace":{"Description":"x"}}`, in + "The namespace " + ns + " is of the type DNS_PRIVATE."},
		{"UpdatePrivateDnsNamespace", `{"Id":"` + ns + `","Namespace":{}}`, in + "The request changes nothing: give Description or Properties."},
		{"ListNamespaces", `{"NextToken":"x"}`, in + "The NextToken is not valid."},
		{"ListNamespaces", `{"Filters":[{"Name":"TYPE","Values":["HTTP","DNS_PRIVATE"]}]}`, in + "The filter TYPE with the condition EQ takes one value."},
		{"ListNamespaces", `{"Filters":[{"Name":"NAME","Condition":"IN","Values":["a"]}]}`, in + "The condition IN is not supported for the filter NAME."},
		{"ListOperations", `{"Filters":[{"Name":"UPDATE_DATE","Condition":"BETWEEN","Values":["a","b"]}]}`, in + `The filter UPDATE_DATE takes seconds since 1970-01-01 UTC, not "a".`},
		{"GetOperation", `{"OperationId":"none"}`, "OperationNotFound: The operation none was not found."},

		{"CreateService", `{"Name":"n"}`, in + "NamespaceId is required."},
		{"CreateService", `{"Name":"n","NamespaceId":"ns-none"}`, "NamespaceNotFound: The namespace ns-none was not found."},
		{"CreateService", `{"Name":"-n","NamespaceId":"` + ns + `"}`, in + "The name of the service is not valid: a label must not begin or end with a hyphen."},
		{"CreateService", create(``), in + "DnsConfig is required in a DNS namespace, unless Type is HTTP."},
		{"CreateService", create(`,"Type":"HTTP","DnsConfig":{"DnsRecords":[{"Type":"A","TTL":1}]}`), in + "DnsConfig is not possible: the instances of this service are found by DiscoverInstances only."},
		{"CreateService", create(`,"DnsConfig":{"DnsRecords":[]}`), in + "DnsRecords is empty."},
		{"CreateService", create(`,"DnsConfig":{"DnsRecords":[{"Type":"A","TTL":1},{"Type":"A","TTL":1}]}`), in + "DnsRecords has the type A twice."},
		{"CreateService", create(`,"DnsConfig":{"DnsRecords":[{"Type":"A","TTL":1},{"Type":"SRV","TTL":1}]}`), in + "The record types A SRV cannot be combined. Possible are: A; AAAA; A and AAAA; SRV; CNAME."},
		{"CreateService", create(`,"DnsConfig":{"DnsRecords":[{"Type":"CNAME","TTL":1}]}`), in + "A CNAME record needs the routing policy WEIGHTED."},
		{"CreateService", create(`,"DnsConfig":{"DnsRecords":[{"Type":"A","TTL":-1}]}`), one + "'-1' at 'DnsConfig.DnsRecords.1.member.TTL' failed to satisfy constraint: Member must have value greater than or equal to 0"},
		{"CreateService", create(`,"HealthCheckConfig":{"Type":"TCP"},"DnsConfig":{"DnsRecords":[{"Type":"A","TTL":1}]}`), in + "HealthCheckConfig is not supported: there is no Route 53 to check from. Use HealthCheckCustomConfig."},
		{"CreateService", create(`,"HealthCheckConfig":{"Type":"TCP"},"HealthCheckCustomConfig":{}`), in + "A service has HealthCheckConfig or HealthCheckCustomConfig, not both."},
		{"UpdateService", `{"Id":"` + a + `","Service":{"DnsConfig":{"DnsRecords":[{"Type":"AAAA","TTL":1}]}}}`, in + "The service " + a + " has no record of the type AAAA, and the type cannot be changed."},
		{"UpdateService", `{"Id":"` + *found.Id + `","Service":{"DnsConfig":{"DnsRecords":[{"Type":"A","TTL":1}]}}}`, in + "The service " + *found.Id + " is found by DiscoverInstances only: it has no DNS records."},
		{"DeleteService", `{"Id":"srv-none"}`, "ServiceNotFound: The service srv-none was not found."},
		{"GetServiceAttributes", `{"ServiceId":"srv-none"}`, "ServiceNotFound: The service srv-none was not found."},

		{"RegisterInstance", `{"ServiceId":"` + a + `","InstanceId":"a b","Attributes":{}}`, one + "'a b' at 'InstanceId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9a-zA-Z_/:.@-]+$"},
		{"RegisterInstance", instance(a), in + "The service has an A record: the attribute AWS_INSTANCE_IPV4 is required."},
		{"RegisterInstance", instance(a, "AWS_INSTANCE_IPV4", "::1"), in + `AWS_INSTANCE_IPV4 must be an IPv4 address, not "::1".`},
		{"RegisterInstance", instance(a, "AWS_INSTANCE_IPV6", "1.2.3.4"), in + `AWS_INSTANCE_IPV6 must be an IPv6 address, not "1.2.3.4".`},
		{"RegisterInstance", instance(both, "AWS_INSTANCE_IPV4", "1.2.3.4"), in + "The service has an AAAA record: the attribute AWS_INSTANCE_IPV6 is required."},
		{"RegisterInstance", instance(a, "AWS_INSTANCE_IPV4", "1.2.3.4", "AWS_X", "1"), in + "The attribute AWS_X is not known. Custom attributes must not begin with AWS_."},
		{"RegisterInstance", instance(a, "AWS_INSTANCE_IPV4", "1.2.3.4", "AWS_INIT_HEALTH_STATUS", "HEALTHY"), in + "AWS_INIT_HEALTH_STATUS needs a service with HealthCheckCustomConfig."},
		{"RegisterInstance", instance(a, "AWS_INSTANCE_IPV4", "1.2.3.4", "AWS_INSTANCE_PORT", "0"), in + `AWS_INSTANCE_PORT must be a number from 1 to 65535, not "0".`},
		{"RegisterInstance", instance(srv, "AWS_INSTANCE_IPV4", "1.2.3.4"), in + "The service has an SRV record: the attribute AWS_INSTANCE_PORT is required."},
		{"RegisterInstance", instance(srv, "AWS_INSTANCE_PORT", "80"), in + "The service has an SRV record: AWS_INSTANCE_IPV4, AWS_INSTANCE_IPV6 or both are required."},
		{"RegisterInstance", instance(cname, "AWS_INSTANCE_CNAME", "a..b"), in + "AWS_INSTANCE_CNAME is not a DNS name: each label must have 1 to 63 characters."},
		{"RegisterInstance", instance(a, "AWS_ALIAS_DNS_NAME", "x.example.com"), in + "AWS_ALIAS_DNS_NAME must be the DNS name of a load balancer, which ends in .elb.berth.internal."},
		{"RegisterInstance", instance(a, "AWS_ALIAS_DNS_NAME", "x.us-east-1.elb.berth.internal", "AWS_INSTANCE_IPV4", "1.2.3.4"), in + "AWS_ALIAS_DNS_NAME and AWS_INSTANCE_IPV4 exclude each other."},
		{"RegisterInstance", instance(a, "AWS_EC2_INSTANCE_ID", "i-1"), in + "AWS_EC2_INSTANCE_ID is possible in HTTP namespaces only."},
		{"RegisterInstance", instance(*found.Id, "AWS_EC2_INSTANCE_ID", "i-1"), in + "The instance i-1 has no IPv4 address that is known here."},
		{"RegisterInstance", instance(*found.Id, "AWS_EC2_INSTANCE_ID", "i-1", "x", "y"), in + "With AWS_EC2_INSTANCE_ID only AWS_INIT_HEALTH_STATUS is possible, not x."},
		{"RegisterInstance", instance(*found.Id, "x", strings.Repeat("x", 1024), "y", strings.Repeat("x", 1024), "z", strings.Repeat("x", 1024), "v", strings.Repeat("x", 1024), "w", strings.Repeat("x", 1000)), in + "All keys and values of an instance's attributes can have at most 5000 characters together."},
		{"GetInstance", `{"ServiceId":"` + a + `","InstanceId":"i"}`, "InstanceNotFound: The instance i was not found in the service " + a + "."},
		{"GetInstancesHealthStatus", `{"ServiceId":"` + a + `","Instances":["i"]}`, "InstanceNotFound: The instance i was not found in the service " + a + "."},
		{"DiscoverInstances", `{"NamespaceName":"none","ServiceName":"s"}`, "NamespaceNotFound: The namespace none was not found."},
		{"DiscoverInstances", `{"NamespaceName":"apps","ServiceName":"none"}`, "ServiceNotFound: The service none was not found in the namespace apps."},
		{"DiscoverInstances", `{"NamespaceName":"apps","ServiceName":"h","OwnerAccount":"999999999999"}`, "NamespaceNotFound: The namespace apps was not found."},
		{"TagResource", `{"ResourceARN":"` + ns + `","Tags":[]}`, "ResourceNotFoundException: The resource " + ns + " was not found."},
	})
	must(c.RegisterInstance(ctx, &servicediscovery.RegisterInstanceInput{ServiceId: found.Id, InstanceId: new("i"), Attributes: map[string]string{"a": "b"}}))(t)
	_, err := c.UpdateInstanceCustomHealthStatus(ctx, &servicediscovery.UpdateInstanceCustomHealthStatusInput{ServiceId: found.Id, InstanceId: new("i"), Status: types.CustomHealthStatusHealthy})
	wantError(t, err, "CustomHealthNotFound", "The service "+*found.Id+" has no HealthCheckCustomConfig.")
}

func TestServiceDiscoveryRefusesWhatIsNotBuilt(t *testing.T) {
	newWorld(t).refusesWhatIsNotBuilt("servicediscovery", (*product.Service)(nil), &api.API)
}
