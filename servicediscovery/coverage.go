package servicediscovery

// Notes say what is special about operations. No operation of the service is stored only.
func Notes() map[string]string {
	return map[string]string{
		"CreatePublicDnsNamespace":  "refused: no domain on the internet is delegated to Berth",
		"UpdatePublicDnsNamespace":  "refused: there are no public DNS namespaces",
		"CreatePrivateDnsNamespace": "the VPC does not narrow who can ask: every machine of the account and region answers; so a name is taken once, whatever the VPC",
		"CreateService":             "HealthCheckConfig (checks by Route 53) is refused",
		"UpdateService":             "HealthCheckConfig (checks by Route 53) is refused",
		"RegisterInstance":          "AWS_ALIAS_DNS_NAME takes load balancers of Berth only",
		"DiscoverInstances":         "SDKs put data- before the endpoint's host; see differences",
		"DiscoverInstancesRevision": "SDKs put data- before the endpoint's host; see differences",
		"GetOperation":              "everything is done at once; operations are kept for 7 days",
	}
}

// Refused names the operations that the service answers with an error that says why.
func Refused() []string { return []string{"CreatePublicDnsNamespace", "UpdatePublicDnsNamespace"} }
