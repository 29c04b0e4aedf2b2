package haproxy

import "fmt"

// titles are of the answers that a load balancer gives itself.
var titles = map[int]string{
	301: "Moved Permanently", 302: "Found", 400: "Bad Request", 403: "Forbidden", 408: "Request Time-out", 413: "Request Entity Too Large",
	500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out",
}

// serverName is in the header Server of answers that a load balancer gives itself. Source: what application load balancers send.
const serverName = "awselb/2.0"

func page(status int) string {
	title := fmt.Sprintf("%d %s", status, titles[status])
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title + "</h1></center>\r\n</body>\r\n</html>\r\n"
}

func errorFile(status int) string { return fmt.Sprintf("answers/%d.http", status) }

// errorAnswer is a whole answer as HAProxy's errorfile wants it.
func errorAnswer(status int) []byte {
	body := page(status)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nServer: %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", status, titles[status], serverName, len(body), body)
}
