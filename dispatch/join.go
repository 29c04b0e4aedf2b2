package dispatch

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"berth/agent/proto"
	"berth/ecs"
)

// maxJoinBody bounds a request to join or to renew.
const maxJoinBody = 64 << 10

// join sells a machine its certificate for a token.
func (s *Server) join(w http.ResponseWriter, r *http.Request) {
	if !s.joins.allow(clientIP(r), time.Now()) {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "too many attempts to join; try again later", http.StatusServiceUnavailable) // agents try again after a 5xx
		return
	}
	var in proto.JoinRequest
	if !readBody(w, r, maxJoinBody, &in) {
		return
	}
	// The request is looked at before the token: a broken one must not use a token up.
	if _, err := s.Authority.Issue(in.CSR, ecs.Machine{}, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	who, err := s.Tokens.Redeem(r.Context(), in.Token, time.Now())
	switch {
	case errors.Is(err, errToken):
		s.Log.Warn("a machine was refused", "address", r.RemoteAddr, "err", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	case err != nil:
		s.internal(w, "join", err)
		return
	}
	s.Log.Info("a machine joined", "machine", who.ID, "cluster", who.Cluster, "address", r.RemoteAddr)
	s.issue(w, in.CSR, who)
}

// renew gives a machine a new certificate with the identity of the one it shows.
func (s *Server) renew(w http.ResponseWriter, r *http.Request, who ecs.Machine) {
	var in proto.RenewRequest
	if readBody(w, r, maxJoinBody, &in) {
		s.issue(w, in.CSR, who)
	}
}

func (s *Server) issue(w http.ResponseWriter, csr []byte, who ecs.Machine) {
	cert, err := s.Authority.Issue(csr, who, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeBody(w, proto.JoinResponse{Certificate: cert, Authorities: s.Authority.PEM()})
}

// internal logs an error and shows that there was one.
func (s *Server) internal(w http.ResponseWriter, op string, err error) {
	s.Log.Error("agent request failed", "op", op, "err", err)
	http.Error(w, "internal error", http.StatusInternalServerError)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit)).Decode(into)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
	} else if err != nil {
		http.Error(w, "the request is not valid JSON", http.StatusBadRequest)
	}
	return err == nil
}

func writeBody(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the agent asks again if it did not get it
}
