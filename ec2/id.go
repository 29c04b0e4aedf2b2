package ec2

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
)

// kind is a sort of resource, known by the beginning of its IDs.
type kind struct {
	prefix string // of IDs, without the dash
	name   string // in error codes: Invalid<name>ID.NotFound
	words  string // in messages
	tags   api.ResourceType
}

// Kinds of resources. Source: EC2 API reference, error codes.
var (
	kindVPC       = kind{"vpc", "Vpc", "vpc", api.ResourceTypeVpc}
	kindSubnet    = kind{"subnet", "Subnet", "subnet", api.ResourceTypeSubnet}
	kindTable     = kind{"rtb", "RouteTable", "routeTable", api.ResourceTypeRouteTable}
	kindGateway   = kind{"igw", "InternetGateway", "internetGateway", api.ResourceTypeInternetGateway}
	kindACL       = kind{"acl", "NetworkAcl", "networkAcl", api.ResourceTypeNetworkAcl}
	kindDHCP      = kind{"dopt", "DhcpOption", "dhcpOption", api.ResourceTypeDhcpOptions}
	kindGroup     = kind{"sg", "Group", "security group", api.ResourceTypeSecurityGroup}
	kindRule      = kind{"sgr", "SecurityGroupRule", "security group rule", api.ResourceTypeSecurityGroupRule}
	kindInterface = kind{"eni", "NetworkInterface", "networkInterface", api.ResourceTypeNetworkInterface}
)

// idDigits is how many hexadecimal digits an ID has; old ones had shortDigits.
const (
	idDigits    = 17
	shortDigits = 8
)

var idForm = regexp.MustCompile(`^[0-9a-f]+$`)

// derive makes the lasting ID of something that an account has in a region without having made it.
func derive(prefix, account, region string, what ...string) string {
	sum := sha256.Sum256([]byte("berth ec2 " + prefix + " " + account + " " + region + " " + strings.Join(what, " ")))
	return prefix + "-" + ("0" + hex.EncodeToString(sum[:]))[:idDigits]
}

// newID makes a random ID. Not for use in a transaction.
func newID(prefix string) string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return prefix + "-0" + hex.EncodeToString(raw[:])
}

// wellFormed says whether id can be one of the kind.
func (k kind) wellFormed(id string) bool {
	digits, ok := strings.CutPrefix(id, k.prefix+"-")
	return ok && (len(digits) == idDigits || len(digits) == shortDigits) && idForm.MatchString(digits)
}

// missing is the error for an ID that names nothing in the caller's account and region.
func (k kind) missing(id string) *aws.Error {
	if !k.wellFormed(id) {
		return aws.Errorf("Invalid"+k.name+"Id.Malformed", "Invalid id: \"%s\" (expecting \"%s-...\")", id, k.prefix)
	}
	switch k {
	case kindGroup:
		return aws.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	case kindRule:
		return aws.Errorf("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
	}
	return aws.Errorf("Invalid"+k.name+"ID.NotFound", "The %s ID '%s' does not exist", k.words, id)
}

// kinds are all kinds.
var kinds = []kind{kindVPC, kindSubnet, kindTable, kindGateway, kindACL, kindDHCP, kindGroup, kindRule, kindInterface}

// kindOf finds the kind of an ID by its beginning; the zero kind if there is none.
func kindOf(id string) kind {
	prefix, _, _ := strings.Cut(id, "-")
	for _, k := range kinds {
		if k.prefix == prefix {
			return k
		}
	}
	return kind{}
}
