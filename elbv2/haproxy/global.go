package haproxy

// Limits of one HAProxy.
const (
	// maxConnections of all load balancers of a machine together, each side counted once.
	maxConnections = 20000
	// openFiles limits what HAProxy takes for itself, two for each connection. It takes what the system's hard limit allows if that is
	// less: a fixed number of connections beyond that limit would keep it from starting.
	openFiles = 65536
	// bufferSize holds the headers of a request, and all of a request that is repeated. Source: ELB quotas, 64 KB of headers; a
	// buffer of 32 KiB takes what clients send in practice for half the memory.
	bufferSize = 32768
	// hardStop is how many seconds an old worker serves the connections that it has after a reload. It is the longest deregistration delay.
	hardStop = 3600
)

// global writes what holds for all load balancers.
func (r *renderer) global() {
	r.text.WriteString("# Written by Berth. It is written anew whenever load balancers change.\nglobal\n")
	if r.m.Threads > 0 {
		r.line("nbthread %d", r.m.Threads)
	}
	if r.m.OpenFiles > 0 {
		r.line("maxconn %d", r.m.connections())
	} else {
		r.line("fd-hard-limit %d", openFiles)
	}
	r.line("hard-stop-after %ds", hardStop)
	r.line("tune.bufsize %d", bufferSize)
	r.line("tune.maxrewrite 4096")
	r.line("tune.http.logurilen 4096")
	r.line("tune.ssl.default-dh-param 2048")
	// Its own HTTP client is not used: without this HAProxy reads all certificates of the system whenever it starts, half of that time.
	r.line("httpclient.ssl.verify none")
	if r.m.StatsSocket != "" {
		r.line("stats socket %s mode 600 level admin expose-fd listeners", word(r.m.StatsSocket))
	}
	if r.m.LogSocket != "" {
		r.line("log %s len 65535 format raw daemon info", word(r.m.LogSocket))
	}
	r.text.WriteString("\ndefaults\n")
	r.line("option dontlognull")
	r.line("option redispatch 1") // a second try goes to another server
	r.line("retries 3")
	r.line("retry-on conn-failure")
	r.line("http-reuse safe")
	r.line("timeout connect 5s")
	r.line("timeout queue 5s")
	for _, status := range []int{400, 403, 408, 413, 500, 502, 503, 504} {
		r.line("errorfile %d %s", status, r.file(errorFile(status), errorAnswer(status)))
	}
}
