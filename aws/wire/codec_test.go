package wire

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	apiec2 "berth/api/ec2"
	apiecs "berth/api/ecs"
	apielbv2 "berth/api/elbv2"
	apiiam "berth/api/iam"
	"berth/aws"
)

func TestQueryForms(t *testing.T) {
	for _, c := range []struct {
		name string
		api  *aws.API
		op   string
		form string
		want any
	}{
		{"structures in lists", &apielbv2.API, "RegisterTargets", "TargetGroupArn=g&Targets.member.1.Id=i&Targets.member.1.Port=80&Targets.member.2.Id=j",
			&apielbv2.RegisterTargetsInput{TargetGroupArn: new("g"), Targets: []apielbv2.TargetDescription{{Id: new("i"), Port: new(int32(80))}, {Id: new("j")}}}},
		{"an empty list is present", &apielbv2.API, "RegisterTargets", "TargetGroupArn=g&Targets=",
			&apielbv2.RegisterTargetsInput{TargetGroupArn: new("g"), Targets: []apielbv2.TargetDescription{}}},
		{"ten comes after nine", &apielbv2.API, "DescribeTargetGroups", "Names.member.10=b&Names.member.9=a",
			&apielbv2.DescribeTargetGroupsInput{Names: []string{"a", "b"}}},
		{"a huge number is only a place", &apielbv2.API, "DescribeTargetGroups", "Names.member.2147483647=a",
			&apielbv2.DescribeTargetGroupsInput{Names: []string{"a"}}},
		{"Query ignores what it does not know", &apielbv2.API, "DescribeTargetGroups", "Nonsense=1", &apielbv2.DescribeTargetGroupsInput{}},
		{"nested EC2 lists", &apiec2.API, "AuthorizeSecurityGroupIngress",
			"GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0&TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b",
			&apiec2.AuthorizeSecurityGroupIngressRequest{
				GroupId: new("sg-1"),
				IpPermissions: []apiec2.IpPermission{{
					IpProtocol: new("tcp"), FromPort: new(int32(80)), IpRanges: []apiec2.IpRange{{CidrIp: new("0.0.0.0/0")}},
				}},
				TagSpecifications: []apiec2.TagSpecification{{ResourceType: "security-group", Tags: []apiec2.Tag{{Key: new("a"), Value: new("b")}}}},
			}},
		{"a wrapped EC2 value", &apiec2.API, "ModifyVpcAttribute", "VpcId=v&EnableDnsHostnames.Value=true",
			&apiec2.ModifyVpcAttributeRequest{VpcId: new("v"), EnableDnsHostnames: &apiec2.AttributeBooleanValue{Value: new(true)}}},
		{"IAM tags", &apiiam.API, "TagRole", "RoleName=r&Tags.member.1.Key=k&Tags.member.1.Value=",
			&apiiam.TagRoleRequest{RoleName: new("r"), Tags: []apiiam.Tag{{Key: new("k"), Value: new("")}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, err := url.ParseQuery(c.form)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeQuery(c.api, c.api.Operation(c.op), values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestXMLForms(t *testing.T) {
	at := aws.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))
	for _, c := range []struct {
		name string
		api  *aws.API
		op   string
		out  any
		want string
	}{
		{"Query", &apielbv2.API, "DescribeLoadBalancers", &apielbv2.DescribeLoadBalancersOutput{LoadBalancers: []apielbv2.LoadBalancer{{CreatedTime: at, SecurityGroups: []string{}}}},
			`<DescribeLoadBalancersResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeLoadBalancersResult><LoadBalancers><member><CreatedTime>2026-01-02T03:04:05.678Z</CreatedTime><SecurityGroups></SecurityGroups></member></LoadBalancers></DescribeLoadBalancersResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DescribeLoadBalancersResponse>`},
		{"Query without output", &apiiam.API, "TagRole", &apiiam.TagRoleResponse{},
			`<TagRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></TagRoleResponse>`},
		{"EC2", &apiec2.API, "DescribeSubnets", &apiec2.DescribeSubnetsResult{Subnets: []apiec2.Subnet{{AvailableIpAddressCount: new(int32(0)), DefaultForAz: new(false), Tags: []apiec2.Tag{{Key: new("<")}}}}},
			`<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>id</requestId><subnetSet><item><tagSet><item><key>&lt;</key></item></tagSet><availableIpAddressCount>0</availableIpAddressCount><defaultForAz>false</defaultForAz></item></subnetSet></DescribeSubnetsResponse>`},
		{"EC2 without output", &apiec2.API, "DeleteVpc", nil,
			`<DeleteVpcResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>id</requestId><return>true</return></DeleteVpcResponse>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := encodeXML(c.api, c.api.Operation(c.op), "id", c.out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(string(got), xml.Header), c.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// address is a connection from somewhere.
type address struct {
	net.Conn
	from   string
	closed bool
}

func (a *address) RemoteAddr() net.Addr {
	at, _ := net.ResolveTCPAddr("tcp", a.from)
	return at
}

func (a *address) Close() error {
	a.closed = true
	return nil
}

func TestOneAddressMayNotHoldManySilentConnections(t *testing.T) {
	srv := NewServer(http.NotFoundHandler(), nil)
	open := func(from string) *address {
		a := &address{from: from}
		srv.ConnState(a, http.StateNew)
		return a
	}
	var first *address
	for i := range maxSilent {
		a := open("192.0.2.1:1000")
		if i == 0 {
			first = a
		}
		if a.closed {
			t.Fatalf("connection %d was refused", i)
		}
	}
	if !open("192.0.2.1:1000").closed {
		t.Error("one too many was taken")
	}
	if open("192.0.2.2:1000").closed {
		t.Error("another address was refused")
	}
	for range 2 * maxSilent {
		if open("127.0.0.1:1000").closed || open("[::1]:1000").closed {
			t.Fatal("loopback was refused")
		}
	}
	srv.ConnState(first, http.StateActive)
	if !open("192.0.2.1:1000").closed {
		t.Error("a request that has only begun freed a place")
	}
	srv.ConnState(first, http.StateIdle)
	srv.ConnState(first, http.StateClosed)
	if open("192.0.2.1:1000").closed || !open("192.0.2.1:1000").closed {
		t.Error("a finished request must free one place")
	}
}

// onlyAWS fails unless err is nil or an answer for the caller.
func onlyAWS(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*aws.Error](err); !ok {
		t.Fatalf("internal error from input: %v", err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"family":"a","containerDefinitions":[{"name":"c","image":"i","cpu":1,"environment":[{"name":"A","value":"b"}]}]}`))
	f.Add([]byte(`{"count":1e99,"x":[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range []string{"RegisterTaskDefinition", "RunTask"} {
			in, err := decodeJSON(apiecs.API.Operation(name), body)
			onlyAWS(t, err)
			if err != nil {
				continue
			}
			_ = in.(interface{ Validate() error }).Validate()
			again, err := marshal(in)
			if err != nil || !json.Valid(again) {
				t.Fatalf("what was read can not be written: %v\n%s", err, again)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80")
	f.Add("Name=a&Port=80&Tags.member.1.Key=k&Tags.member.1.Value=v&Tags=")
	f.Add("LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize=1&LaunchTemplateName=a")
	f.Fuzz(func(t *testing.T, form string) {
		values, err := url.ParseQuery(form)
		if err != nil {
			return
		}
		for _, c := range []struct {
			api *aws.API
			op  string
		}{
			{&apiec2.API, "AuthorizeSecurityGroupIngress"}, {&apiec2.API, "CreateLaunchTemplate"},
			{&apielbv2.API, "CreateTargetGroup"}, {&apiiam.API, "SimulateCustomPolicy"},
		} {
			op := c.api.Operation(c.op)
			in, err := decodeQuery(c.api, op, values)
			onlyAWS(t, err)
			if err != nil {
				continue
			}
			_ = in.(interface{ Validate() error }).Validate()
			out, err := encodeXML(c.api, op, "id", in)
			if err != nil {
				t.Fatal(err)
			}
			for dec := xml.NewDecoder(strings.NewReader(string(out))); ; {
				if _, err := dec.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("not XML: %v\n%s", err, out)
				}
			}
		}
	})
}
