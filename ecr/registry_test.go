package ecr

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"berth/ecr/imagefile"
)

func TestPushCreatesTheRepositoryAndItsIndex(t *testing.T) {
	w := newWorld(t)
	dgst := w.push(t, "team/web:v1")
	if diff := cmp.Diff(map[string]string{dgst: "v1"}, w.images(t, "team/web")); diff != "" {
		t.Error(diff)
	}
	out := must[*sdkecr.DescribeRepositoriesOutput](t)(w.DescribeRepositories(t.Context(), &sdkecr.DescribeRepositoriesInput{}))
	uri := *out.Repositories[0].RepositoryUri
	if want := strings.TrimPrefix(w.url, "http://") + "/000000000000/us-east-1/team/web"; uri != want {
		t.Errorf("repositoryUri: got %s, want %s", uri, want)
	}
	img := must[v1.Image](t)(remote.Image(w.ref(t, "team/web:v1"), w.auth()))
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	detail := must[*sdkecr.DescribeImagesOutput](t)(w.DescribeImages(t.Context(), &sdkecr.DescribeImagesInput{RepositoryName: new("team/web")})).ImageDetails[0]
	m := must[*v1.Manifest](t)(img.Manifest())
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	if *detail.ImageSizeInBytes != size || *detail.ImageManifestMediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("size %d, want %d; media type %s", *detail.ImageSizeInBytes, size, *detail.ImageManifestMediaType)
	}
}

func TestAMovedTagLeavesItsOldImageUntagged(t *testing.T) {
	w := newWorld(t)
	first, second := w.push(t, "web:v1"), w.push(t, "web:v1")
	if diff := cmp.Diff(map[string]string{first: "", second: "v1"}, w.images(t, "web")); diff != "" {
		t.Error(diff)
	}
	got := must[*sdkecr.ListImagesOutput](t)(w.ListImages(t.Context(), &sdkecr.ListImagesInput{
		RepositoryName: new("web"), Filter: &types.ListImagesFilter{TagStatus: types.TagStatusUntagged},
	}))
	if len(got.ImageIds) != 1 || *got.ImageIds[0].ImageDigest != first {
		t.Errorf("untagged: %+v", got.ImageIds)
	}
}

func TestImageNamesResolve(t *testing.T) {
	w := newWorld(t)
	v1, latest := w.push(t, "team/web:v1"), w.push(t, "team/web:latest")
	own, aws := w.service.Host()+"/"+account+"/"+region+"/team/web", account+".dkr.ecr."+region+".amazonaws.com/team/web"
	for image, want := range map[string]string{
		own + ":v1": v1, own: latest, aws + ":v1": v1, own + ":v2": "", own + "@" + v1: "", "team/web:v1": "", "web": "",
		"registry.local/" + account + "/" + region + "/team/web:v1": "", account + ".dkr.ecr." + region + ".local/team/web:v1": "",
	} {
		if got, ok := w.service.Resolve(w.store.Read(), image); got != want || ok != (want != "") {
			t.Errorf("%s is %q %v, want %q", image, got, ok, want)
		}
	}
}

func TestImmutableTagsStay(t *testing.T) {
	w := newWorld(t)
	img := randomImage(t)
	w.pushImage(t, "web:v1", img)
	w.push(t, "web:latest")
	must[*sdkecr.PutImageTagMutabilityOutput](t)(w.PutImageTagMutability(t.Context(), &sdkecr.PutImageTagMutabilityInput{
		RepositoryName: new("web"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{FilterType: "WILDCARD", Filter: new("late*")}},
	}))
	err := remote.Write(w.ref(t, "web:v1"), randomImage(t), w.auth())
	if err == nil || !strings.Contains(err.Error(), "cannot be overwritten because the tag is immutable") {
		t.Errorf("push over an immutable tag: %v", err)
	}
	w.pushImage(t, "web:v1", img)
	w.push(t, "web:latest")
	manifest := string(must[[]byte](t)(randomImage(t).RawManifest()))
	_, err = w.PutImage(t.Context(), &sdkecr.PutImageInput{RepositoryName: new("web"), ImageManifest: &manifest, ImageTag: new("v1")})
	wantError(t, err, "ImageTagAlreadyExistsException", "The image tag 'v1' already exists in the 'web' repository")
}

func TestIndexesReferrersAndDeletion(t *testing.T) {
	w := newWorld(t)
	index := must[v1.ImageIndex](t)(random.Index(500, 1, 2))
	if err := remote.WriteIndex(w.ref(t, "web:multi"), index, w.auth()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.images(t, "web")); got != 3 {
		t.Errorf("%d images, want the index and two", got)
	}
	child := must[*v1.IndexManifest](t)(index.IndexManifest()).Manifests[0].Digest
	err := remote.Delete(w.ref(t, "web@"+child.String()), w.auth())
	if err == nil || !strings.Contains(err.Error(), "referenced by manifest list") {
		t.Errorf("delete of an image that an index names: %v", err)
	}
	desc := must[*v1.Descriptor](t)(partial.Descriptor(index))
	signature := mutate.Subject(mutate.Annotations(randomImage(t), map[string]string{"a": "b"}).(v1.Image), *desc).(v1.Image)
	sig := w.pushImage(t, "web@"+must[v1.Hash](t)(signature.Digest()).String(), signature)
	refs := must[v1.ImageIndex](t)(remote.Referrers(w.ref(t, "web@"+desc.Digest.String()).(name.Digest), w.auth()))
	found := must[*v1.IndexManifest](t)(refs.IndexManifest()).Manifests
	if len(found) != 1 || found[0].Digest.String() != sig || found[0].Annotations["a"] != "b" {
		t.Errorf("referrers: %+v", found)
	}
	listed := must[*sdkecr.ListImageReferrersOutput](t)(w.ListImageReferrers(t.Context(), &sdkecr.ListImageReferrersInput{
		RepositoryName: new("web"), SubjectId: &types.SubjectIdentifier{ImageDigest: new(desc.Digest.String())},
	}))
	if len(listed.Referrers) != 1 || *listed.Referrers[0].Digest != sig {
		t.Errorf("ListImageReferrers: %+v", listed.Referrers)
	}
	if err := remote.Delete(w.ref(t, "web@"+desc.Digest.String()), w.auth()); err != nil {
		t.Error(err)
	}
	if err := remote.Delete(w.ref(t, "web@"+child.String()), w.auth()); err != nil {
		t.Error("delete once the index is gone:", err)
	}
	if _, err := remote.Head(w.ref(t, "web:multi"), w.auth()); err == nil {
		t.Error("the tag of the deleted index is still there")
	}
}

func TestIndexNeedsItsImages(t *testing.T) {
	w := newWorld(t)
	index := must[v1.ImageIndex](t)(random.Index(500, 1, 2))
	raw := must[[]byte](t)(index.RawManifest())
	w.push(t, "web:x")
	_, err := w.PutImage(t.Context(), &sdkecr.PutImageInput{RepositoryName: new("web"), ImageManifest: new(string(raw)), ImageTag: new("i")})
	wantError(t, err, "ReferencedImagesNotFoundException", "does not exist")
	raw = must[[]byte](t)(randomImage(t).RawManifest())
	_, err = w.PutImage(t.Context(), &sdkecr.PutImageInput{RepositoryName: new("web"), ImageManifest: new(string(raw))})
	wantError(t, err, "LayersNotFoundException", "does not exist")
}

func TestLoginIsNeededAndBoundToTheAccount(t *testing.T) {
	w := newWorld(t)
	w.push(t, "web:v1")
	out := must[*sdkecr.GetAuthorizationTokenOutput](t)(w.GetAuthorizationToken(t.Context(), &sdkecr.GetAuthorizationTokenInput{}))
	data := out.AuthorizationData[0]
	token := string(must[[]byte](t)(base64.StdEncoding.DecodeString(*data.AuthorizationToken)))
	user, password, _ := strings.Cut(token, ":")
	if left := time.Until(*data.ExpiresAt); user != "AWS" || left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("user %s, %s left", user, left)
	}
	for _, c := range []struct{ name, user, password, want string }{
		{"token of the API", "AWS", password, ""},
		{"no login", "", "", "UNAUTHORIZED"},
		{"wrong password", "AWS", "x.y", "UNAUTHORIZED"},
		{"wrong user", "root", password, "UNAUTHORIZED"},
		{"expired", "AWS", w.service.Password(account, time.Now()), "UNAUTHORIZED"},
		{"other account", "AWS", w.service.Password("111111111111", time.Now().Add(time.Hour)), "DENIED"},
		{"changed", "AWS", "x" + password, "UNAUTHORIZED"},
	} {
		option := remote.WithAuth(authn.Anonymous)
		if c.user != "" {
			option = remote.WithAuth(&authn.Basic{Username: c.user, Password: c.password})
		}
		_, err := remote.Get(w.ref(t, "web:v1"), option)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAgentsPullWithoutLoginAndCannotPush(t *testing.T) {
	w := newWorld(t)
	dgst := w.push(t, "web:v1")
	agents := httptest.NewServer(w.service.PullHandler())
	defer agents.Close()
	host := strings.TrimPrefix(agents.URL, "http://")
	ref := must[name.Reference](t)(name.ParseReference(host + "/" + account + "/" + region + "/web:v1"))
	img := must[v1.Image](t)(remote.Image(ref))
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	if err := remote.Write(ref, randomImage(t)); err == nil {
		t.Error("an agent pushed")
	}
	// The host name of an AWS registry stands for account and region.
	req := must[*http.Request](t)(http.NewRequest(http.MethodGet, agents.URL+"/v2/web/manifests/v1", nil))
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	req.Host = account + ".dkr.ecr." + region + ".amazonaws.com"
	resp := must[*http.Response](t)(http.DefaultClient.Do(req))
	_ = resp.Body.Close()
	if got := resp.Header.Get("Docker-Content-Digest"); got != dgst {
		t.Errorf("by AWS host name: %s, %s", resp.Status, got)
	}
}

func TestLayersThroughTheAPI(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	repo := new("api")
	must[*sdkecr.CreateRepositoryOutput](t)(w.CreateRepository(ctx, &sdkecr.CreateRepositoryInput{RepositoryName: repo}))
	img := randomImage(t)
	upload := func(content []byte, dgst string) {
		t.Helper()
		begun := must[*sdkecr.InitiateLayerUploadOutput](t)(w.InitiateLayerUpload(ctx, &sdkecr.InitiateLayerUploadInput{RepositoryName: repo}))
		half := len(content) / 2
		for _, p := range [][2]int{{0, half}, {half, len(content)}} {
			must[*sdkecr.UploadLayerPartOutput](t)(w.UploadLayerPart(ctx, &sdkecr.UploadLayerPartInput{RepositoryName: repo, UploadId: begun.UploadId,
				PartFirstByte: new(int64(p[0])), PartLastByte: new(int64(p[1] - 1)), LayerPartBlob: content[p[0]:p[1]]}))
		}
		_, err := w.UploadLayerPart(ctx, &sdkecr.UploadLayerPartInput{RepositoryName: repo, UploadId: begun.UploadId,
			PartFirstByte: new(int64(0)), PartLastByte: new(int64(0)), LayerPartBlob: content[:1]})
		wantError(t, err, "InvalidLayerPartException", "do not follow")
		must[*sdkecr.CompleteLayerUploadOutput](t)(w.CompleteLayerUpload(ctx, &sdkecr.CompleteLayerUploadInput{RepositoryName: repo, UploadId: begun.UploadId, LayerDigests: []string{dgst}}))
	}
	layers := must[[]v1.Layer](t)(img.Layers())
	for _, l := range layers {
		r := must[io.ReadCloser](t)(l.Compressed())
		upload(must[[]byte](t)(io.ReadAll(r)), must[v1.Hash](t)(l.Digest()).String())
	}
	upload(must[[]byte](t)(img.RawConfigFile()), must[v1.Hash](t)(img.ConfigName()).String())
	put := must[*sdkecr.PutImageOutput](t)(w.PutImage(ctx, &sdkecr.PutImageInput{RepositoryName: repo, ImageManifest: new(string(must[[]byte](t)(img.RawManifest()))), ImageTag: new("v1")}))
	pulled := must[v1.Image](t)(remote.Image(w.ref(t, "api:v1"), w.auth()))
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
	first := must[v1.Hash](t)(layers[0].Digest()).String()
	available := must[*sdkecr.BatchCheckLayerAvailabilityOutput](t)(w.BatchCheckLayerAvailability(ctx, &sdkecr.BatchCheckLayerAvailabilityInput{
		RepositoryName: repo, LayerDigests: []string{first, "sha256:" + strings.Repeat("0", 64), "junk"}}))
	if len(available.Layers) != 2 || available.Layers[0].LayerAvailability != "AVAILABLE" || available.Layers[1].LayerAvailability != "UNAVAILABLE" || len(available.Failures) != 1 {
		t.Errorf("availability: %+v %+v", available.Layers, available.Failures)
	}
	url := must[*sdkecr.GetDownloadUrlForLayerOutput](t)(w.GetDownloadUrlForLayer(ctx, &sdkecr.GetDownloadUrlForLayerInput{RepositoryName: repo, LayerDigest: &first}))
	resp := must[*http.Response](t)(http.Get(*url.DownloadUrl))
	defer resp.Body.Close()
	if size := must[int64](t)(layers[0].Size()); resp.StatusCode != 200 || resp.ContentLength != size {
		t.Errorf("download: %s, %d bytes, want %d", resp.Status, resp.ContentLength, size)
	}
	changed := must[*http.Response](t)(http.Get(*url.DownloadUrl + "x"))
	defer changed.Body.Close()
	if changed.StatusCode != http.StatusUnauthorized {
		t.Errorf("changed download URL: %s", changed.Status)
	}
	got := must[*sdkecr.BatchGetImageOutput](t)(w.BatchGetImage(ctx, &sdkecr.BatchGetImageInput{RepositoryName: repo, ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}, {ImageTag: new("none")}}}))
	if len(got.Images) != 1 || *got.Images[0].ImageId.ImageDigest != *put.Image.ImageId.ImageDigest || len(got.Failures) != 1 || got.Failures[0].FailureCode != "ImageNotFound" {
		t.Errorf("BatchGetImage: %+v", got)
	}
}

func TestStockToolsPushAndPull(t *testing.T) {
	for _, tool := range []string{"/usr/bin/skopeo", "/usr/bin/aws"} {
		if _, err := os.Stat(tool); err != nil {
			t.Skip("no", tool)
		}
	}
	w := newWorld(t)
	home := t.TempDir()
	run := func(input, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Stdin = strings.NewReader(input)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_REGION=us-east-1", "HOME="+home)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	host := strings.TrimPrefix(w.url, "http://")
	password := run("", "/usr/bin/aws", "--endpoint-url", w.url, "ecr", "get-login-password")
	auth := filepath.Join(home, "auth.json")
	run(password, "/usr/bin/skopeo", "login", "--tls-verify=false", "--authfile", auth, "--username", "AWS", "--password-stdin", host)

	rootfs := filepath.Join(home, "rootfs")
	if err := os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin", "app"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	target := host + "/" + account + "/" + region + "/skopeo/web"
	if _, err := imagefile.Push(t.Context(), rootfs, target+":v1", imagefile.Options{Username: "AWS", Password: strings.TrimSpace(password)}); err != nil {
		t.Fatal(err)
	}
	run("", "/usr/bin/skopeo", "copy", "--authfile", auth, "--src-tls-verify=false", "docker://"+target+":v1", "oci:"+home+"/layout:v1")
	run("", "/usr/bin/skopeo", "copy", "--insecure-policy", "--authfile", auth, "--dest-tls-verify=false", "oci:"+home+"/layout:v1", "docker://"+target+":v2")
	run("", "/usr/bin/skopeo", "copy", "--insecure-policy", "--authfile", auth, "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2", "docker://"+target+":v1", "docker://"+target+":docker")
	if got := run("", "/usr/bin/skopeo", "list-tags", "--authfile", auth, "--tls-verify=false", "docker://"+target); !strings.Contains(got, "docker") {
		t.Errorf("tags: %s", got)
	}
	run("", "/usr/bin/skopeo", "delete", "--authfile", auth, "--tls-verify=false", "docker://"+target+":docker")
	got := run("", "/usr/bin/aws", "--endpoint-url", w.url, "ecr", "describe-images", "--repository-name", "skopeo/web", "--query", "imageDetails[].imageTags[]", "--output", "text")
	if strings.Join(strings.Fields(got), " ") != "v1 v2" {
		t.Errorf("tags in the API: %s", got)
	}
}

// BenchmarkLayer pushes and pulls an image of one layer of 64 MiB.
func BenchmarkLayer(b *testing.B) {
	w := newWorld(b)
	img := must[v1.Image](b)(random.Image(64<<20, 1))
	size := int64(64 << 20)
	b.Run("push", func(b *testing.B) {
		b.SetBytes(size)
		for i := range b.N {
			w.pushImage(b, fmt.Sprintf("push%d:v1", i), must[v1.Image](b)(random.Image(size, 1)))
		}
	})
	w.pushImage(b, "pull:v1", img)
	b.Run("pull", func(b *testing.B) {
		b.SetBytes(size)
		for range b.N {
			pulled := must[v1.Image](b)(remote.Image(w.ref(b, "pull:v1"), w.auth()))
			layer := must[[]v1.Layer](b)(pulled.Layers())[0]
			r := must[io.ReadCloser](b)(layer.Compressed())
			must[int64](b)(io.Copy(io.Discard, r))
			_ = r.Close()
		}
	})
}
