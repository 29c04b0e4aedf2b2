package ec2

// StoredOnly has the operations whose effect is kept and shown only, with the reason.
func StoredOnly() map[string]string {
	const filter = "packets are not filtered by security groups yet"
	return map[string]string{
		"CreateSecurityGroup": filter, "DeleteSecurityGroup": filter, "ModifySecurityGroupRules": filter,
		"AuthorizeSecurityGroupIngress": filter, "AuthorizeSecurityGroupEgress": filter,
		"RevokeSecurityGroupIngress": filter, "RevokeSecurityGroupEgress": filter,
	}
}

// Notes has what is special about operations that are acted on.
func Notes() map[string]string {
	const only = "those of the default VPC, the only ones yet"
	return map[string]string{
		"DescribeVpcs": "the default VPC of each account and region, the only one yet", "DescribeVpcAttribute": "of the default VPC",
		"DescribeSubnets": only, "DescribeRouteTables": only, "DescribeInternetGateways": only, "DescribeNetworkAcls": only,
		"DescribeNetworkInterfaces": "those of load balancers", "DescribeRegions": "that of the request, us-east-1, and those in which the account has something",
		"DescribeAvailabilityZones": "a, b and c of the region, and zones that machines are in",
		"DescribeAddresses":         "always empty", "DescribeAddressesAttribute": "always empty", "DescribeNatGateways": "always empty",
	}
}

// Refused has the reason why each operation is refused that the service does not have.
func Refused() map[string]string {
	const (
		vpc      = "own VPCs: not built yet"
		address  = "Elastic IP addresses and NAT gateways: not built yet"
		template = "launch templates: not built yet"
	)
	out := map[string]string{}
	for why, names := range map[string][]string{
		vpc: {
			"CreateVpc", "DeleteVpc", "ModifyVpcAttribute", "CreateSubnet", "DeleteSubnet", "ModifySubnetAttribute",
			"CreateInternetGateway", "DeleteInternetGateway", "AttachInternetGateway", "DetachInternetGateway",
			"CreateRouteTable", "DeleteRouteTable", "AssociateRouteTable", "DisassociateRouteTable", "CreateRoute", "DeleteRoute",
			"CreateNetworkAclEntry", "DeleteNetworkAclEntry",
		},
		address: {"AllocateAddress", "ReleaseAddress", "DisassociateAddress", "CreateNatGateway", "DeleteNatGateway"},
		template: {
			"CreateLaunchTemplate", "CreateLaunchTemplateVersion", "DeleteLaunchTemplate", "DescribeLaunchTemplates",
			"DescribeLaunchTemplateVersions", "ModifyLaunchTemplate",
		},
	} {
		for _, name := range names {
			out[name] = why
		}
	}
	return out
}
