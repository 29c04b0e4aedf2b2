package main

import (
	"io"
	"net/http"
	"os"
)

// protection passes a request on to the endpoint that the container has for its task's protection, or to that of the container whose
// address is in the query as "of".
func protection(w http.ResponseWriter, r *http.Request) {
	uri := os.Getenv("ECS_AGENT_URI")
	if of := r.URL.Query().Get("of"); of != "" {
		uri = of
	}
	ask, err := http.NewRequestWithContext(r.Context(), r.Method, uri+"/task-protection/v1/state", r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	resp, err := http.DefaultClient.Do(ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}
