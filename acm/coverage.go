package acm

// Reasons say why operations are refused. The others are acted on.
func Reasons() map[string]string {
	const (
		issued  = "Berth issues no certificates: import them"
		search  = "SearchCertificates: not built yet; ListCertificates is"
		account = "there are no expiry events"
	)
	return map[string]string{
		"RequestCertificate": issued, "RenewCertificate": issued, "ResendValidationEmail": issued, "RevokeCertificate": issued,
		"ExportCertificate": issued, "UpdateCertificateOptions": issued, "SearchCertificates": search,
		"GetAccountConfiguration": account, "PutAccountConfiguration": account,
	}
}

// Notes say what is special about operations that are acted on.
func Notes() map[string]string {
	return map[string]string{"ImportCertificate": "the chain has at most 256 KiB"}
}
