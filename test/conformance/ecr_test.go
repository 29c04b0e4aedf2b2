package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	api "berth/api/ecr"
	product "berth/ecr"
)

func (w *world) repository(name string) types.Repository {
	w.t.Helper()
	return *must(w.ecr.CreateRepository(w.t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}))(w.t).Repository
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// layer uploads content in parts of three bytes.
func (w *world) layer(repository string, content []byte) string {
	w.t.Helper()
	ctx := w.t.Context()
	begun := must(w.ecr.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: &repository}))(w.t)
	if *begun.PartSize < 1<<20 {
		w.t.Errorf("part size %d", *begun.PartSize)
	}
	for first := 0; first < len(content); first += 3 {
		part := content[first:min(first+3, len(content))]
		last := int64(first + len(part) - 1)
		out := must(w.ecr.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{
			RepositoryName: &repository, UploadId: begun.UploadId, PartFirstByte: new(int64(first)), PartLastByte: &last, LayerPartBlob: part,
		}))(w.t)
		if *out.LastByteReceived != last {
			w.t.Errorf("last byte received %d, want %d", *out.LastByteReceived, last)
		}
	}
	out := must(w.ecr.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: &repository, UploadId: begun.UploadId, LayerDigests: []string{digest(content)}}))(w.t)
	return *out.LayerDigest
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// image puts an image of one small layer, under a tag, and returns its digest.
func (w *world) image(repository, tag, content string) string {
	w.t.Helper()
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"x":"` + content + `"}`)
	blob := []byte("layer " + content)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}]}`,
		ociManifest, w.layer(repository, config), len(config), w.layer(repository, blob), len(blob))
	out := must(w.ecr.PutImage(w.t.Context(), &ecr.PutImageInput{RepositoryName: &repository, ImageTag: &tag, ImageManifest: &manifest}))(w.t)
	if *out.Image.ImageId.ImageTag != tag || *out.Image.ImageId.ImageDigest != digest([]byte(manifest)) || *out.Image.ImageManifest != manifest {
		w.t.Errorf("got %+v", out.Image)
	}
	return *out.Image.ImageId.ImageDigest
}

func TestECRRepositories(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	var names []string
	t.Run("CreateRepository", func(t *testing.T) {
		for i := range 5 {
			names = append(names, fmt.Sprintf("team/app-%d", i))
			r := w.repository(names[i])
			if *r.RepositoryArn != "arn:aws:ecr:"+region+":"+w.account+":repository/"+names[i] || *r.RegistryId != w.account || !recent(r.CreatedAt) {
				t.Errorf("got %+v", r)
			}
			if !strings.HasSuffix(*r.RepositoryUri, "/"+names[i]) || r.ImageTagMutability != types.ImageTagMutabilityMutable || r.ImageScanningConfiguration.ScanOnPush || r.EncryptionConfiguration.EncryptionType != types.EncryptionTypeAes256 {
				t.Errorf("got %+v", r)
			}
		}
	})
	t.Run("DescribeRepositories", func(t *testing.T) {
		var got []string
		for pages := ecr.NewDescribeRepositoriesPaginator(w.ecr, &ecr.DescribeRepositoriesInput{MaxResults: new(int32(2))}); pages.HasMorePages(); {
			for _, r := range must(pages.NextPage(ctx))(t).Repositories {
				got = append(got, *r.RepositoryName)
			}
		}
		if diff := cmp.Diff(got, names); diff != "" {
			t.Error(diff)
		}
		out := must(newWorld(t).ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{}))(t)
		if out.Repositories == nil || len(out.Repositories) != 0 || out.NextToken != nil {
			t.Errorf("empty: %+v", out)
		}
	})
	t.Run("TagResource, UntagResource, ListTagsForResource", func(t *testing.T) {
		arn := new("arn:aws:ecr:" + region + ":" + w.account + ":repository/" + names[0])
		must(w.ecr.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: new("a"), Value: new("1")}, {Key: new("b"), Value: new("2")}}}))(t)
		must(w.ecr.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a", "never"}}))(t)
		out := must(w.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn}))(t)
		if len(out.Tags) != 1 || *out.Tags[0].Key != "b" || *out.Tags[0].Value != "2" {
			t.Errorf("got %+v", out.Tags)
		}
	})
	t.Run("PutImageTagMutability", func(t *testing.T) {
		must(w.ecr.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: &names[0], ImageTagMutability: types.ImageTagMutabilityImmutable}))(t)
		w.image(names[0], "v1", "one")
		_, err := w.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &names[0], ImageTag: new("v1"), ImageManifest: new("{}")})
		wantError(t, err, "ImageTagAlreadyExistsException", "The image tag 'v1' already exists in the '"+names[0]+"' repository and cannot be overwritten because the tag is immutable.")
	})
	t.Run("PutImageScanningConfiguration", func(t *testing.T) {
		must(w.ecr.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: &names[1], ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true}}))(t)
		out := must(w.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: names[1:2]}))(t)
		if !out.Repositories[0].ImageScanningConfiguration.ScanOnPush {
			t.Error("scanOnPush is not kept")
		}
	})
	t.Run("SetRepositoryPolicy, GetRepositoryPolicy, DeleteRepositoryPolicy", func(t *testing.T) {
		policy := `{"Version":"2012-10-17","Statement":[]}`
		must(w.ecr.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: &names[1], PolicyText: &policy}))(t)
		if out := must(w.ecr.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: &names[1]}))(t); *out.PolicyText != policy || *out.RegistryId != w.account {
			t.Errorf("got %+v", out)
		}
		must(w.ecr.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: &names[1]}))(t)
		_, err := w.ecr.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: &names[1]})
		wantError(t, err, "RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name '"+names[1]+"' in the registry with id '"+w.account+"'")
	})
	t.Run("PutLifecyclePolicy, GetLifecyclePolicy, DeleteLifecyclePolicy", func(t *testing.T) {
		policy := `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}`
		must(w.ecr.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &names[1], LifecyclePolicyText: &policy}))(t)
		if out := must(w.ecr.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: &names[1]}))(t); *out.LifecyclePolicyText != policy {
			t.Errorf("got %+v", out)
		}
		must(w.ecr.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: &names[1]}))(t)
		_, err := w.ecr.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: &names[1]})
		wantError(t, err, "LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '"+names[1]+"' in the registry with id '"+w.account+"'")
	})
	t.Run("DescribeRegistry", func(t *testing.T) {
		out := must(w.ecr.DescribeRegistry(ctx, &ecr.DescribeRegistryInput{}))(t)
		if *out.RegistryId != w.account || out.ReplicationConfiguration == nil || out.ReplicationConfiguration.Rules == nil {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("DeleteRepository", func(t *testing.T) {
		_, err := w.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &names[0]})
		wantError(t, err, "RepositoryNotEmptyException", "The repository with name '"+names[0]+"' in registry with id '"+w.account+"' cannot be deleted because it still contains images")
		out := must(w.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &names[0], Force: true}))(t)
		if *out.Repository.RepositoryName != names[0] {
			t.Errorf("got %+v", out.Repository)
		}
		_, err = w.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: names[:1]})
		wantError(t, err, "RepositoryNotFoundException", "The repository with name '"+names[0]+"' does not exist in the registry with id '"+w.account+"'")
		w.repository(names[0])
		if out := must(w.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &names[0]}))(t); out.ImageIds == nil || len(out.ImageIds) != 0 {
			t.Errorf("a new repository of the same name has %+v", out.ImageIds)
		}
	})
}

func TestECRImages(t *testing.T) {
	w := newWorld(t)
	ctx, repo := t.Context(), name("images")
	w.repository(repo)
	var digests []string
	t.Run("InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, PutImage", func(t *testing.T) {
		for i := range 3 {
			digests = append(digests, w.image(repo, fmt.Sprintf("v%d", i), fmt.Sprint("content ", i)))
		}
	})
	t.Run("BatchCheckLayerAvailability, GetDownloadUrlForLayer", func(t *testing.T) {
		there, none := digest([]byte("layer content 0")), digest([]byte("none"))
		out := must(w.ecr.BatchCheckLayerAvailability(ctx, &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: &repo, LayerDigests: []string{there, none, "nonsense"}}))(t)
		if len(out.Layers) != 2 || out.Layers[0].LayerAvailability != types.LayerAvailabilityAvailable || *out.Layers[0].LayerSize != 15 || out.Layers[1].LayerAvailability != types.LayerAvailabilityUnavailable {
			t.Errorf("got %+v", out.Layers)
		}
		if len(out.Failures) != 1 || out.Failures[0].FailureCode != types.LayerFailureCodeInvalidLayerDigest {
			t.Errorf("failures %+v", out.Failures)
		}
		link := must(w.ecr.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{RepositoryName: &repo, LayerDigest: &there}))(t)
		resp := must(http.Get(*link.DownloadUrl))(t)
		defer resp.Body.Close()
		if content := must(io.ReadAll(resp.Body))(t); !bytes.Equal(content, []byte("layer content 0")) {
			t.Errorf("downloaded %d %q", resp.StatusCode, content)
		}
	})
	t.Run("ListImages, DescribeImages", func(t *testing.T) {
		var got, described []string
		for pages := ecr.NewListImagesPaginator(w.ecr, &ecr.ListImagesInput{RepositoryName: &repo, MaxResults: new(int32(1))}); pages.HasMorePages(); {
			for _, i := range must(pages.NextPage(ctx))(t).ImageIds {
				got = append(got, *i.ImageTag+" "+*i.ImageDigest)
			}
		}
		for pages := ecr.NewDescribeImagesPaginator(w.ecr, &ecr.DescribeImagesInput{RepositoryName: &repo, MaxResults: new(int32(2))}); pages.HasMorePages(); {
			for _, i := range must(pages.NextPage(ctx))(t).ImageDetails {
				described = append(described, i.ImageTags[0]+" "+*i.ImageDigest)
				if !recent(i.ImagePushedAt) || *i.ImageSizeInBytes == 0 || *i.ImageManifestMediaType != ociManifest || *i.RegistryId != w.account {
					t.Errorf("got %+v", i)
				}
			}
		}
		want := []string{"v0 " + digests[0], "v1 " + digests[1], "v2 " + digests[2]}
		sameSet(t, got, want)
		sameSet(t, described, want)
	})
	t.Run("no image is archived", func(t *testing.T) {
		for status, want := range map[types.ImageStatusFilter]int{types.ImageStatusFilterActive: 3, types.ImageStatusFilterAny: 3, types.ImageStatusFilterArchived: 0} {
			list := must(w.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &repo, Filter: &types.ListImagesFilter{ImageStatus: status}}))(t)
			shown := must(w.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: &repo, Filter: &types.DescribeImagesFilter{ImageStatus: status}}))(t)
			if len(list.ImageIds) != want || len(shown.ImageDetails) != want {
				t.Errorf("%s: %d listed, %d described, want %d", status, len(list.ImageIds), len(shown.ImageDetails), want)
			}
		}
	})
	t.Run("BatchGetImage", func(t *testing.T) {
		out := must(w.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: &repo, ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}, {ImageTag: new("none")}}}))(t)
		if len(out.Images) != 1 || *out.Images[0].ImageId.ImageDigest != digests[1] || digest([]byte(*out.Images[0].ImageManifest)) != digests[1] {
			t.Errorf("got %+v", out.Images)
		}
		if len(out.Failures) != 1 || out.Failures[0].FailureCode != types.ImageFailureCodeImageNotFound || *out.Failures[0].FailureReason != "Requested image not found" {
			t.Errorf("failures %+v", out.Failures)
		}
	})
	t.Run("ListImageReferrers", func(t *testing.T) {
		out := must(w.ecr.ListImageReferrers(ctx, &ecr.ListImageReferrersInput{RepositoryName: &repo, SubjectId: &types.SubjectIdentifier{ImageDigest: &digests[0]}}))(t)
		if out.Referrers == nil || len(out.Referrers) != 0 {
			t.Errorf("got %+v", out.Referrers)
		}
	})
	t.Run("BatchDeleteImage", func(t *testing.T) {
		out := must(w.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: &repo, ImageIds: []types.ImageIdentifier{{ImageTag: new("v0")}, {ImageDigest: &digests[1]}, {ImageTag: new("none")}}}))(t)
		var gone []string
		for _, i := range out.ImageIds {
			gone = append(gone, *i.ImageTag+" "+*i.ImageDigest)
		}
		if diff := cmp.Diff(gone, []string{"v0 " + digests[0], "v1 " + digests[1]}); diff != "" || len(out.Failures) != 1 {
			t.Errorf("%s, failures %+v", diff, out.Failures)
		}
		left := must(w.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &repo}))(t)
		if len(left.ImageIds) != 1 || *left.ImageIds[0].ImageTag != "v2" {
			t.Errorf("left %+v", left.ImageIds)
		}
	})
}

func TestECRGetAuthorizationToken(t *testing.T) {
	w := newWorld(t)
	out := must(w.ecr.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))(t)
	data := out.AuthorizationData[0]
	if len(out.AuthorizationData) != 1 || time.Until(*data.ExpiresAt) < 11*time.Hour || !strings.HasPrefix(*data.ProxyEndpoint, "http") {
		t.Errorf("got %+v", data)
	}
	user, password, _ := strings.Cut(string(must(base64.StdEncoding.DecodeString(*data.AuthorizationToken))(t)), ":")
	for given, want := range map[string]int{password: http.StatusOK, "wrong": http.StatusUnauthorized} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v2/", nil))(t)
		r.SetBasicAuth(user, given)
		resp := must(http.DefaultClient.Do(r))(t)
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("login answers %d, want %d", resp.StatusCode, want)
		}
	}
}

func TestECRRefusesBadInput(t *testing.T) {
	w := newWorld(t)
	repo, locked := name("r"), name("locked")
	w.repository(repo)
	w.image(repo, "v1", "x")
	r := `"repositoryName":"` + repo + `"`
	none := `"repositoryName":"none"`
	missing := "RepositoryNotFoundException: The repository with name 'none' does not exist in the registry with id '" + w.account + "'"
	at := func(member string) string {
		return invalid + "Invalid parameter at '" + member + "' failed to satisfy constraint: '"
	}
	arn := "arn:aws:ecr:" + region + ":" + w.account + ":repository/"
	blob := digest([]byte("no such layer"))
	w.refuses("ecr", []bad{
		{"CreateRepository", `{}`, at("repositoryName") + "must not be null'"},
		{"CreateRepository", `{` + r + `}`, "RepositoryAlreadyExistsException: The repository with name '" + repo + "' already exists in the registry with id '" + w.account + "'"},
		{"CreateRepository", `{"repositoryName":"` + locked + `","imageTagMutability":"SOMETIMES"}`, at("imageTagMutability") + "must satisfy enum value set: [MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION]'"},
		{"CreateRepository", `{"repositoryName":"` + locked + `","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION"}`, at("imageTagMutabilityExclusionFilters") + "Exclusion filters are required with, and only allowed with, IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION'"},
		{"CreateRepository", `{"repositoryName":"` + locked + `","encryptionConfiguration":{"encryptionType":"KMS"}}`, at("encryptionConfiguration") + "Berth does not encrypt with KMS keys'"},
		{"CreateRepository", `{"repositoryName":"` + locked + `","tags":[{"Key":"aws:a","Value":"b"}]}`, "InvalidTagParameterException: Invalid tag key 'aws:a'"},
		{"DescribeRepositories", `{"repositoryNames":["none"]}`, missing},
		{"DescribeRepositories", `{"repositoryNames":["` + repo + `"],"maxResults":1}`, at("maxResults") + "Paging cannot be used with repositoryNames'"},
		{"DescribeRepositories", `{"maxResults":1001}`, at("maxResults") + "must have value less than or equal to 1000'"},
		{"DescribeRepositories", `{"nextToken":"x"}`, at("nextToken") + "Invalid token'"},
		{"DeleteRepository", `{` + none + `}`, missing},
		{"DeleteRepository", `{` + r + `}`, "RepositoryNotEmptyException: The repository with name '" + repo + "' in registry with id '" + w.account + "' cannot be deleted because it still contains images"},
		{"PutImageTagMutability", `{` + none + `,"imageTagMutability":"MUTABLE"}`, missing},
		{"PutImageScanningConfiguration", `{` + none + `,"imageScanningConfiguration":{}}`, missing},
		{"SetRepositoryPolicy", `{` + r + `,"policyText":"no"}`, at("PolicyText") + "Invalid repository policy provided'"},
		{"GetRepositoryPolicy", `{` + r + `}`, "RepositoryPolicyNotFoundException: Repository policy does not exist for the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"DeleteRepositoryPolicy", `{` + none + `}`, missing},
		{"GetLifecyclePolicy", `{` + r + `}`, "LifecyclePolicyNotFoundException: Lifecycle policy does not exist for the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"DeleteLifecyclePolicy", `{` + none + `}`, missing},
		{"PutImage", `{` + r + `,"imageManifest":"no"}`, at("ImageManifest") + "Invalid JSON syntax'"},
		{"PutImage", `{` + none + `,"imageManifest":"{}"}`, missing},
		{"PutImage", `{` + r + `,"imageManifest":"{}","imageDigest":"` + blob + `"}`, "ImageDigestDoesNotMatchException: The provided digest '" + blob + "' does not match the image's digest '" + digest([]byte("{}")) + "'"},
		{"ListImages", `{` + none + `}`, missing},
		{"ListImages", `{` + r + `,"nextToken":"x"}`, at("nextToken") + "Invalid token'"},
		{"DescribeImages", `{` + r + `,"imageIds":[{"imageTag":"none"}]}`, "ImageNotFoundException: The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"BatchGetImage", `{` + none + `,"imageIds":[{"imageTag":"a"}]}`, missing},
		{"BatchDeleteImage", `{` + none + `,"imageIds":[{"imageTag":"a"}]}`, missing},
		{"BatchCheckLayerAvailability", `{` + none + `,"layerDigests":["` + blob + `"]}`, missing},
		{"InitiateLayerUpload", `{` + none + `}`, missing},
		{"UploadLayerPart", `{` + r + `,"uploadId":"` + noUpload + `","partFirstByte":0,"partLastByte":0,"layerPartBlob":"YQ=="}`, "UploadNotFoundException: The upload with id '" + noUpload + "' does not exist in the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"CompleteLayerUpload", `{` + r + `,"uploadId":"` + noUpload + `","layerDigests":["` + blob + `"]}`, "UploadNotFoundException: The upload with id '" + noUpload + "' does not exist in the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"GetDownloadUrlForLayer", `{` + r + `,"layerDigest":"` + blob + `"}`, "LayersNotFoundException: The layer with digest '" + blob + "' does not exist in the repository with name '" + repo + "' in the registry with id '" + w.account + "'"},
		{"ListImageReferrers", `{` + none + `,"subjectId":{"imageDigest":"` + blob + `"}}`, missing},
		{"TagResource", `{"resourceArn":"` + arn + `none","tags":[{"Key":"a","Value":"b"}]}`, missing},
		{"TagResource", `{"resourceArn":"` + arn + repo + `","tags":[{"Key":"aws:a","Value":"b"}]}`, "InvalidTagParameterException: Invalid tag key 'aws:a'"},
		{"ListTagsForResource", `{"resourceArn":"nonsense"}`, at("resourceArn") + "Invalid ARN'"},
		{"GetAuthorizationToken", `{"registryIds":["123456789012"]}`, at("registryIds") + "Berth gives tokens for your own account " + w.account + " only'"},
	})
	if got := w.refusal("ecr", "PutLifecyclePolicy", `{`+r+`,"lifecyclePolicyText":"`+strings.Repeat("x", 100)+`"}`); !strings.HasPrefix(got, at("LifecyclePolicyText")+"Lifecycle policy validation failure: ") {
		t.Errorf("got %s", got)
	}
	if got := w.refusal("ecr", "ListImages", `{"repositoryName":"`+locked+`"}`); !strings.HasPrefix(got, "RepositoryNotFoundException") {
		t.Errorf("a refused request made a repository: %q", got)
	}
}

// noUpload is an upload that was never begun.
const noUpload = "00000000-0000-0000-0000-000000000000"

func TestECRRefusesWhatIsNotBuilt(t *testing.T) {
	newWorld(t).refusesWhatIsNotBuilt("ecr", (*product.Service)(nil), &api.API)
}
