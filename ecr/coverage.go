package ecr

// StoredOnly names the operations whose effect is only that something is kept and shown, and why. The other operations
// that the service has are acted on.
func StoredOnly() map[string]string {
	const policies = "IAM is not built yet: every caller is its account's root"
	return map[string]string{
		"SetRepositoryPolicy": policies, "GetRepositoryPolicy": policies, "DeleteRepositoryPolicy": policies,
		"PutImageScanningConfiguration": "nothing is scanned",
	}
}

// Notes say what is special about operations that are acted on.
func Notes() map[string]string {
	return map[string]string{
		"BatchGetImage":         "manifests are returned as they were pushed, whatever acceptedMediaTypes says",
		"CreateRepository":      "KMS encryption is refused; scanOnPush is stored only",
		"DescribeRegistry":      "there is no replication",
		"GetAuthorizationToken": "a token is good for all regions of the account, and for no other account",
		"PutLifecyclePolicy":    "transitions to other storage are refused",
	}
}
