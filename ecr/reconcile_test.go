package ecr

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"berth/store"
)

const key = account + "/" + region + "/web"

func TestRecordsFollowTheFilesAfterACrash(t *testing.T) {
	w := newWorld(t)
	img := randomImage(t)
	first := w.pushImage(t, "web:v1", img)
	w.pushImage(t, "web:stable", img)
	second := w.push(t, "web:v2")
	third := w.push(t, "web:v3")
	want := w.images(t, "web")
	// As if the server had died between files and records: one record is missing, one is stale, one too many.
	ghost := "sha256:" + third[len("sha256:"):len(third)-4] + "0000"
	err := w.store.Update(t.Context(), func(tx *store.Tx) error {
		i, _ := Images.Get(tx, key+":"+first)
		i.Tags = []string{"old"}
		Images.Put(tx, i)
		Images.Delete(tx, key+":"+second)
		i.Digest, i.Tags = ghost, []string{"ghost"}
		Images.Put(tx, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (repositories{w.service}).Reconcile(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.images(t, "web")); diff != "" {
		t.Error(diff)
	}
}

func TestDeletionOfARepositoryIsFinishedAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.push(t, "web:v1")
	kept := w.push(t, "web/sub:v1")
	err := w.store.Update(t.Context(), func(tx *store.Tx) error {
		r, _ := Repositories.Get(tx, key)
		r.Deleting = true
		Repositories.Put(tx, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(w.ref(t, "web:v1"), w.auth()); err == nil {
		t.Error("a repository that is being deleted answers")
	}
	if _, err := (repositories{w.service}).Reconcile(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{kept: "v1"}, w.images(t, "web/sub")); diff != "" {
		t.Error(diff)
	}
	w.push(t, "web:new")
	if got := len(w.images(t, "web")); got != 1 {
		t.Errorf("the new repository of the same name has %d images", got)
	}
	if _, err := remote.Head(w.ref(t, "web:v1"), w.auth()); err == nil {
		t.Error("an image of the deleted repository came back")
	}
}

func TestDeleteRepositoryNeedsForceWithImages(t *testing.T) {
	w := newWorld(t)
	w.push(t, "web:v1")
	_, err := w.DeleteRepository(t.Context(), &sdkecr.DeleteRepositoryInput{RepositoryName: new("web")})
	wantError(t, err, "RepositoryNotEmptyException", "cannot be deleted because it still contains images")
	must[*sdkecr.DeleteRepositoryOutput](t)(w.DeleteRepository(t.Context(), &sdkecr.DeleteRepositoryInput{RepositoryName: new("web"), Force: true}))
	_, err = w.DescribeRepositories(t.Context(), &sdkecr.DescribeRepositoriesInput{RepositoryNames: []string{"web"}})
	wantError(t, err, "RepositoryNotFoundException", "The repository with name 'web' does not exist in the registry with id '000000000000'")
}

// age makes every file of the registry look an hour old.
func age(t *testing.T, root string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.Walk(root, func(path string, _ os.FileInfo, err error) error {
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCollectRemovesOnlyWhatNothingNames(t *testing.T) {
	w := newWorld(t)
	gone := w.push(t, "web:gone")
	w.push(t, "web:kept")
	img := randomImage(t)
	w.pushImage(t, "other:kept", img)
	w.pushImage(t, "web:shared", img)
	for _, id := range []types.ImageIdentifier{{ImageDigest: &gone}, {ImageTag: new("shared")}} {
		must[*sdkecr.BatchDeleteImageOutput](t)(w.BatchDeleteImage(t.Context(), &sdkecr.BatchDeleteImageInput{RepositoryName: new("web"), ImageIds: []types.ImageIdentifier{id}}))
	}
	if got := must[Collected](t)(w.service.Collect(t.Context())); got.Blobs != 0 {
		t.Errorf("young blobs were removed: %+v", got)
	}
	age(t, w.root)
	// 4 blobs of the deleted image: manifest, configuration, two layers. The shared ones stay for the other repository.
	if got := must[Collected](t)(w.service.Collect(t.Context())); got.Blobs != 4 || got.Links != 6 {
		t.Errorf("removed %+v, want 4 blobs and 6 links", got)
	}
	for _, ref := range []string{"web:kept", "other:kept"} {
		pulled, err := remote.Image(w.ref(t, ref), w.auth())
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(pulled); err != nil {
			t.Errorf("%s after the collection: %v", ref, err)
		}
	}
	if got := w.pushImage(t, "web:again", img); got == "" {
		t.Error("push after the collection")
	}
}

func TestLifecyclePolicySparesWhatRuns(t *testing.T) {
	w := newWorld(t)
	oldest, used, newest := w.push(t, "web:v1"), w.push(t, "web:v2"), w.push(t, "web:v3")
	times := map[string]int64{oldest: 1000, used: 2000, newest: 3000}
	err := w.store.Update(t.Context(), func(tx *store.Tx) error {
		for d, at := range times {
			i, _ := Images.Get(tx, key+":"+d)
			i.Pushed = at
			Images.Put(tx, i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.inUse[used] = true
	policy := `{"rules":[{"rulePriority":1,"description":"keep one image","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
	must[*sdkecr.PutLifecyclePolicyOutput](t)(w.PutLifecyclePolicy(t.Context(), &sdkecr.PutLifecyclePolicyInput{RepositoryName: new("web"), LifecyclePolicyText: &policy}))
	again, err := expiry{w.service}.Reconcile(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{used: "v2", newest: "v3"}, w.images(t, "web")); diff != "" {
		t.Error(diff)
	}
	if again != expiryRetry {
		t.Errorf("again in %s, want %s as one image had to stay", again, expiryRetry)
	}
	got := must[*sdkecr.GetLifecyclePolicyOutput](t)(w.GetLifecyclePolicy(t.Context(), &sdkecr.GetLifecyclePolicyInput{RepositoryName: new("web")}))
	if got.LastEvaluatedAt == nil {
		t.Error("lastEvaluatedAt is not set")
	}
	_, err = w.PutLifecyclePolicy(t.Context(), &sdkecr.PutLifecyclePolicyInput{RepositoryName: new("web"), LifecyclePolicyText: new(policy + " ")})
	if err != nil {
		t.Error(err)
	}
	wrong := policy[:len(policy)-30] + `"transition"}}]}` + "                    "
	_, err = w.PutLifecyclePolicy(t.Context(), &sdkecr.PutLifecyclePolicyInput{RepositoryName: new("web"), LifecyclePolicyText: &wrong})
	wantError(t, err, "InvalidParameterException", "Lifecycle policy validation failure")
}
