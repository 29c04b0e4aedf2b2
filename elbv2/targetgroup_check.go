package elbv2

import (
	"regexp"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
)

// trafficPort as a health check's port means each target's own.
const trafficPort = "traffic-port"

// Defaults of health checks. Source: ELB user guides, "Health checks for target groups".
const (
	defaultInterval       = 30
	defaultHealthy        = 5
	defaultUnhealthy      = 2
	defaultTimeout        = 5  // application load balancers
	defaultTimeoutHTTP    = 6  // network load balancers
	defaultTimeoutOther   = 10 // network load balancers, checks by TCP and HTTPS
	defaultGRPCPath       = "/AWS.ALB/healthcheck"
	defaultMatcher        = "200"
	defaultMatcherNetwork = "200-399"
	defaultMatcherGRPC    = "12"
)

var groupName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)

// ofHTTP says whether the group is one of application load balancers.
func (g TargetGroup) ofHTTP() bool {
	return g.Protocol == api.ProtocolEnumHTTP || g.Protocol == api.ProtocolEnumHTTPS
}

// newGroup checks what CreateTargetGroup wants and fills in defaults.
func newGroup(in *api.CreateTargetGroupInput) (g TargetGroup, err error) {
	g = TargetGroup{
		Name: aws.Value(in.Name), Protocol: in.Protocol, Port: aws.Value(in.Port), VPC: aws.Value(in.VpcId), TargetType: in.TargetType,
		AddressType: in.IpAddressType, Version: aws.Value(in.ProtocolVersion),
	}
	if g.TargetType == "" {
		g.TargetType = api.TargetTypeEnumInstance
	}
	if g.AddressType == "" {
		g.AddressType = api.TargetGroupIpAddressTypeEnumIpv4
	}
	if !groupName.MatchString(g.Name) {
		return g, invalid("Target group name '%s' is not valid: it has 1 to 32 letters, digits and hyphens and neither begins nor ends with a hyphen.", g.Name)
	}
	switch {
	case g.TargetType != api.TargetTypeEnumInstance && g.TargetType != api.TargetTypeEnumIp:
		return g, configuration("Target groups of type '%s' are not supported by Berth; use 'instance' or 'ip'.", g.TargetType)
	case g.AddressType != api.TargetGroupIpAddressTypeEnumIpv4:
		return g, configuration("Target groups of IP address type '%s' are not supported by Berth.", g.AddressType)
	case in.TargetControlPort != nil:
		return g, configuration("Target control ports are not supported by Berth.")
	case g.Protocol == "":
		return g, invalid("A protocol must be specified.")
	case g.Port == 0:
		return g, invalid("A port must be specified.")
	case g.VPC == "":
		return g, invalid("A VPC ID must be specified.")
	}
	if err := g.checkProtocol(); err != nil {
		return g, err
	}
	g.Check, err = g.healthCheck(api.ModifyTargetGroupInput{
		HealthCheckProtocol: in.HealthCheckProtocol, HealthCheckPort: in.HealthCheckPort, HealthCheckPath: in.HealthCheckPath,
		HealthCheckEnabled: in.HealthCheckEnabled, HealthCheckIntervalSeconds: in.HealthCheckIntervalSeconds,
		HealthCheckTimeoutSeconds: in.HealthCheckTimeoutSeconds, HealthyThresholdCount: in.HealthyThresholdCount,
		UnhealthyThresholdCount: in.UnhealthyThresholdCount, Matcher: in.Matcher,
	})
	return g, err
}

func (g *TargetGroup) checkProtocol() error {
	switch g.Protocol {
	case api.ProtocolEnumHTTP, api.ProtocolEnumHTTPS:
		switch g.Version {
		case "":
			g.Version = "HTTP1"
		case "HTTP1", "HTTP2", "GRPC":
		default:
			return invalid("Protocol version '%s' must be one of 'HTTP1', 'HTTP2' and 'GRPC'.", g.Version)
		}
	case api.ProtocolEnumTCP, api.ProtocolEnumTLS, api.ProtocolEnumUDP, api.ProtocolEnumTCPUDP:
		if g.Version != "" {
			return invalid("A protocol version cannot be specified for target groups with the protocol '%s'.", g.Protocol)
		}
	default:
		return configuration("Target groups with the protocol '%s' are not supported by Berth.", g.Protocol)
	}
	return nil
}

// healthCheck is the group's check with the changes in it and defaults for what it lacks.
func (g TargetGroup) healthCheck(in api.ModifyTargetGroupInput) (api.TargetGroup, error) {
	c := g.Check
	if c.HealthCheckEnabled = new(true); in.HealthCheckEnabled != nil && !*in.HealthCheckEnabled {
		return c, invalid("Health checks cannot be disabled for target groups of type '%s'.", g.TargetType)
	}
	if err := g.checkWay(&c, in); err != nil {
		return c, err
	}
	c.HealthCheckIntervalSeconds = pick(defaultInterval, in.HealthCheckIntervalSeconds, c.HealthCheckIntervalSeconds)
	c.HealthCheckTimeoutSeconds = pick(g.defaultTimeout(c.HealthCheckProtocol), in.HealthCheckTimeoutSeconds, c.HealthCheckTimeoutSeconds)
	c.HealthyThresholdCount = pick(defaultHealthy, in.HealthyThresholdCount, c.HealthyThresholdCount)
	c.UnhealthyThresholdCount = pick(defaultUnhealthy, in.UnhealthyThresholdCount, c.UnhealthyThresholdCount)
	interval, timeout := *c.HealthCheckIntervalSeconds, *c.HealthCheckTimeoutSeconds
	switch {
	case interval < 5 || interval > 300:
		return c, invalid("Health check interval must be between 5 and 300 seconds.")
	case timeout < 2 || timeout > 120:
		return c, invalid("Health check timeout must be between 2 and 120 seconds.")
	case min(*c.HealthyThresholdCount, *c.UnhealthyThresholdCount) < 2 || max(*c.HealthyThresholdCount, *c.UnhealthyThresholdCount) > 10:
		return c, invalid("Health check thresholds must be between 2 and 10.")
	case timeout > interval || timeout == interval && g.ofHTTP():
		return c, invalid("Health check interval must be greater than the timeout.")
	}
	return c, nil
}

// checkWay sets by which protocol, where and for which answers targets are checked.
func (g TargetGroup) checkWay(c *api.TargetGroup, in api.ModifyTargetGroupInput) error {
	if in.HealthCheckProtocol != "" {
		c.HealthCheckProtocol = in.HealthCheckProtocol
	}
	if c.HealthCheckProtocol == "" {
		if c.HealthCheckProtocol = api.ProtocolEnumTCP; g.ofHTTP() {
			c.HealthCheckProtocol = api.ProtocolEnumHTTP
		}
	}
	switch c.HealthCheckProtocol {
	case api.ProtocolEnumHTTP, api.ProtocolEnumHTTPS:
	case api.ProtocolEnumTCP:
		if g.ofHTTP() {
			return invalid("Health check protocol 'TCP' is not supported for target groups with the protocol '%s'.", g.Protocol)
		}
	default:
		return invalid("Health check protocol '%s' is not supported.", c.HealthCheckProtocol)
	}
	if in.HealthCheckPort != nil {
		c.HealthCheckPort = in.HealthCheckPort
	}
	if c.HealthCheckPort == nil {
		c.HealthCheckPort = new(trafficPort)
	}
	if n, err := strconv.Atoi(*c.HealthCheckPort); *c.HealthCheckPort != trafficPort && (err != nil || n < 1 || n > 65535) {
		return invalid("Health check port '%s' must be '%s' or between 1 and 65535.", *c.HealthCheckPort, trafficPort)
	}
	if c.HealthCheckProtocol == api.ProtocolEnumTCP {
		if in.HealthCheckPath != nil || in.Matcher != nil {
			return invalid("A health check path or matcher cannot be specified with the health check protocol 'TCP'.")
		}
		c.HealthCheckPath, c.Matcher = nil, nil
		return nil
	}
	return g.checkAnswer(c, in)
}

func (g TargetGroup) checkAnswer(c *api.TargetGroup, in api.ModifyTargetGroupInput) error {
	grpc := g.Version == "GRPC"
	if in.HealthCheckPath != nil {
		c.HealthCheckPath = in.HealthCheckPath
	}
	if c.HealthCheckPath == nil {
		if c.HealthCheckPath = new("/"); grpc {
			c.HealthCheckPath = new(defaultGRPCPath)
		}
	}
	path := *c.HealthCheckPath
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return invalid("Health check path '%s' must begin with a '/' and have only printable ASCII characters without spaces.", path)
	}
	if in.Matcher != nil {
		c.Matcher = in.Matcher
	}
	if c.Matcher == nil || c.Matcher.GrpcCode == nil && c.Matcher.HttpCode == nil {
		switch {
		case grpc:
			c.Matcher = &api.Matcher{GrpcCode: new(defaultMatcherGRPC)}
		case g.ofHTTP():
			c.Matcher = &api.Matcher{HttpCode: new(defaultMatcher)}
		default:
			c.Matcher = &api.Matcher{HttpCode: new(defaultMatcherNetwork)}
		}
	}
	switch m := c.Matcher; {
	case grpc && (m.HttpCode != nil || !codes(*m.GrpcCode, 0, 99)):
		return invalid("Health check gRPC code must be between 0 and 99, a list or a range of such.")
	case !grpc && m.GrpcCode != nil:
		return invalid("A gRPC code can only be specified for target groups with the protocol version 'GRPC'.")
	case !grpc && g.ofHTTP() && !codes(*m.HttpCode, 200, 499):
		return invalid("Health check matcher HTTP code must be between 200 and 499, a list or a range of such.")
	case !grpc && !codes(*m.HttpCode, 200, 599):
		return invalid("Health check matcher HTTP code must be between 200 and 599, a list or a range of such.")
	}
	return nil
}

// codes says whether text is a list of numbers and ranges from least to most, such as 200,300-399.
func codes(text string, least, most int) bool {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 16)
		b, errB := strconv.ParseUint(to, 10, 16)
		if errA != nil || errB != nil || int(a) < least || int(b) > most || a > b {
			return false
		}
	}
	return true
}

func (g TargetGroup) defaultTimeout(check api.ProtocolEnum) int32 {
	switch {
	case g.ofHTTP():
		return defaultTimeout
	case check == api.ProtocolEnumHTTP:
		return defaultTimeoutHTTP
	}
	return defaultTimeoutOther
}

// pick is the first that is there, or fallback.
func pick(fallback int32, choices ...*int32) *int32 {
	for _, c := range choices {
		if c != nil {
			return c
		}
	}
	return &fallback
}
