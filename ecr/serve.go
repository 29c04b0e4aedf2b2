package ecr

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	api "berth/api/ecr"
	"berth/aws"
)

// maxManifest is the largest manifest. Source: distribution refuses more.
const maxManifest = 4 << 20

// target is what a path below /v2/ means.
type target struct {
	account, region, name string
	kind                  string // manifests, blobs, uploads, tags, referrers
	ref                   string // tag or digest, or the rest of an upload's path
}

func (t target) key() string { return repositoryKey(t.account, t.region, t.name) }

var (
	targetPath = regexp.MustCompile(`^/v2/([0-9]{12})/([a-z0-9-]+)/(.+?)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)$`)
	awsHost    = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.`)
	repoName   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// withHost adds account and region to a path of a request to an AWS-like host, unless they are there.
func withHost(r *http.Request) *http.Request {
	m := awsHost.FindStringSubmatch(r.Host)
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if m == nil || !ok || rest == "" || strings.HasPrefix(rest, m[1]+"/"+m[2]+"/") {
		return r
	}
	return withPath(r, "/v2/"+m[1]+"/"+m[2]+"/"+rest)
}

func withPath(r *http.Request, path string) *http.Request {
	out := r.Clone(r.Context())
	out.URL.Path, out.URL.RawPath, out.RequestURI = path, "", ""
	return out
}

func parseTarget(path string) (t target, ok bool) {
	m := targetPath.FindStringSubmatch(path)
	if m == nil || !repoName.MatchString(m[3]) {
		return t, false
	}
	t = target{account: m[1], region: m[2], name: m[3], kind: m[4], ref: m[5]}
	if t.kind == "blobs/uploads" {
		t.kind = "uploads"
	}
	return t, true
}

// serve is the registry on the API listener.
func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	r = withHost(r)
	now := time.Now()
	t, known := parseTarget(r.URL.Path)
	download := known && t.kind == "blobs" && isRead(r) && s.presigned(r, now)
	account, ok := s.account(r, now)
	switch {
	case !ok && !download:
		w.Header().Set("WWW-Authenticate", `Basic realm="`+s.Endpoint()+`/",service="ecr.amazonaws.com"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Your authorization token is missing or has expired. Log in again: aws ecr get-login-password | docker login --username AWS --password-stdin "+s.Host())
	case r.URL.Path == "/v2/" || r.URL.Path == "/v2":
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	case r.URL.Path == "/v2/_catalog" && isRead(r):
		s.catalog(w, r, account)
	case !known:
		refuse(w, http.StatusNotFound, "NAME_INVALID", "A repository's path is <account>/<region>/<name>, such as "+account+"/us-east-1/web")
	case !download && account != t.account:
		refuse(w, http.StatusForbidden, "DENIED", "The login of account "+account+" does not reach the repositories of account "+t.account)
	default:
		s.route(w, r, t)
	}
}

// servePulls is the registry for agents: pulls only. The listener has checked who they are.
func (s *Service) servePulls(w http.ResponseWriter, r *http.Request) {
	r = withHost(r)
	t, known := parseTarget(r.URL.Path)
	switch {
	case !isRead(r):
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "Only pulls are allowed here")
	case r.URL.Path == "/v2/" || r.URL.Path == "/v2":
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		_, _ = io.WriteString(w, "{}")
	case !known:
		refuse(w, http.StatusNotFound, "NAME_INVALID", "A repository's path is <account>/<region>/<name>")
	default:
		s.route(w, r, t)
	}
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// route serves a request whose sender may do it.
func (s *Service) route(w http.ResponseWriter, r *http.Request, t target) {
	repo, there := Repositories.Get(s.Store.Read(), t.key())
	starts := t.kind == "uploads" && r.Method == http.MethodPost || t.kind == "manifests" && r.Method == http.MethodPut
	switch {
	case repo.Deleting || !there && !starts:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "The repository with name '"+t.name+"' does not exist in the registry with id '"+t.account+"'")
		return
	case !there:
		var err error
		if repo, err = s.createOnPush(r.Context(), t); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	switch {
	case t.kind == "manifests" && r.Method == http.MethodPut:
		s.pushManifest(w, r, repo, t.ref)
	case t.kind == "manifests" && r.Method == http.MethodDelete:
		s.deleteManifest(w, r, repo, t.ref)
	case t.kind == "manifests" && r.Method == http.MethodGet:
		s.recordPull(r.Context(), t.key(), t.ref, time.Now())
		s.pass(w, r)
	case t.kind == "blobs" && r.Method == http.MethodDelete:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "Layers are removed by themselves when no image needs them")
	case t.kind == "referrers":
		s.referrers(w, r, repo, t.ref)
	case t.kind == "blobs" && r.Method == http.MethodHead:
		s.sweep.RLock()
		defer s.sweep.RUnlock()
		if dgst := digest.Digest(t.ref); dgst.Validate() == nil {
			s.files.touch(t.key(), dgst, time.Now())
		}
		s.pass(w, r)
	case t.kind == "uploads" && r.Method == http.MethodPost:
		s.startUpload(w, r, t)
	default:
		s.pass(w, r)
	}
}

func (s *Service) createOnPush(ctx context.Context, t target) (Repository, error) {
	r := Repository{Account: t.account, Region: t.region, Name: t.name, Created: time.Now().UnixMilli(), Mutability: api.ImageTagMutabilityMutable}
	if len(t.name) < 2 || len(t.name) > 256 {
		return r, aws.Errorf("InvalidParameterException", "A repository's name has 2 to 256 characters")
	}
	err := s.create(ctx, r)
	if e, ok := errors.AsType[*aws.Error](err); ok && e.Code == "RepositoryAlreadyExistsException" {
		return findRepository(s.Store.Read(), t.account, t.region, t.name)
	}
	return r, err
}

// startUpload lets a blob be mounted from repositories of the same account only.
func (s *Service) startUpload(w http.ResponseWriter, r *http.Request, t target) {
	q := r.URL.Query()
	if from := q.Get("from"); q.Has("mount") {
		if !strings.HasPrefix(from, t.account+"/") {
			q.Del("mount")
			q.Del("from")
			r = r.Clone(r.Context())
			r.URL.RawQuery = q.Encode()
		} else if dgst := digest.Digest(q.Get("mount")); dgst.Validate() == nil {
			s.sweep.RLock()
			defer s.sweep.RUnlock()
			s.files.touch(from, dgst, time.Now())
		}
	}
	s.pass(w, r)
}

// pushManifest stores a manifest and, before the client learns that it is there, its record.
func (s *Service) pushManifest(w http.ResponseWriter, r *http.Request, repo Repository, ref string) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "The manifest could not be read")
		return
	}
	dgst, tag := digest.FromBytes(payload).String(), ref
	if digest.Digest(ref).Validate() == nil {
		tag = ""
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	err = s.locked(repo.Key(), func() error {
		snap := s.Store.Read()
		repo, err := findRepository(snap, repo.Account, repo.Region, repo.Name)
		if err != nil {
			return err
		}
		if err := checkTag(snap, repo, tag, dgst); err != nil {
			return err
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(payload)), int64(len(payload))
		answer := &buffered{header: http.Header{}}
		s.files.http().ServeHTTP(answer, r)
		if answer.status == http.StatusCreated {
			i, err := s.recordPush(r.Context(), repo, dgst, r.Header.Get("Content-Type"), tag, payload)
			if err != nil {
				return err
			}
			if i.Subject != "" {
				answer.header.Set("OCI-Subject", i.Subject)
			}
		}
		if answer.status >= http.StatusInternalServerError {
			s.refuseFailure(w, r, answer.status, answer.body.Bytes())
			return nil
		}
		answer.send(w)
		return nil
	})
	if err != nil {
		s.fail(w, r, err)
	}
}

func (s *Service) deleteManifest(w http.ResponseWriter, r *http.Request, repo Repository, ref string) {
	id := api.ImageIdentifier{ImageTag: &ref}
	if digest.Digest(ref).Validate() == nil {
		id = api.ImageIdentifier{ImageDigest: &ref}
	}
	var failure *api.ImageFailure
	err := s.locked(repo.Key(), func() (err error) {
		_, failure, err = s.deleteImage(r.Context(), repo, id)
		return err
	})
	switch {
	case err != nil:
		s.fail(w, r, err)
	case failure != nil && failure.FailureCode == api.ImageFailureCodeImageNotFound:
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", *failure.FailureReason)
	case failure != nil:
		refuse(w, http.StatusConflict, "DENIED", *failure.FailureReason)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// catalog lists the account's repositories.
func (s *Service) catalog(w http.ResponseWriter, r *http.Request, account string) {
	n := 100
	if v, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil && v > 0 && v < n {
		n = v
	}
	names := []string{}
	for repo := range Repositories.From(s.Store.Read(), account+"/", r.URL.Query().Get("last")) {
		if repo.Deleting {
			continue
		}
		if len(names) == n {
			w.Header().Set("Link", `</v2/_catalog?n=`+strconv.Itoa(n)+`&last=`+names[n-1]+`>; rel="next"`)
			break
		}
		names = append(names, repo.Key())
	}
	reply(w, http.StatusOK, map[string]any{"repositories": names})
}

// fail answers with the registry's form of an error.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		s.Log.Error("registry request failed", "op", r.Method+" "+r.URL.Path, "request", aws.RequestIDFrom(r.Context()), "err", err)
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "The registry could not complete the request")
		return
	}
	switch e.Code {
	case "ImageTagAlreadyExistsException":
		refuse(w, http.StatusBadRequest, "TAG_INVALID", e.Message)
	case "RepositoryNotFoundException":
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", e.Message)
	default:
		refuse(w, http.StatusBadRequest, "DENIED", e.Message)
	}
}
