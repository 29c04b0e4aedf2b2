package logs

// Notes say what is special about operations that are acted on. No operation of the service is stored only.
func Notes() map[string]string {
	return map[string]string{
		"CreateLogGroup":  "KMS keys and the class DELIVERY are refused; the class INFREQUENT_ACCESS is stored only",
		"GetLogEvents":    "unmask has nothing to unmask: data protection is not built yet",
		"FilterLogEvents": "unmask has nothing to unmask: data protection is not built yet",
		"ListLogGroups":   "dataSources and fieldIndexNames are refused",
		"PutLogEvents":    "entity is answered as rejected",
		"StartLiveTail":   "SDKs put stream- before the endpoint's host; see differences",
	}
}
