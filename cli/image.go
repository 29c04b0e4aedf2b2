package cli

import (
	"context"
	"errors"
	"strings"

	api "berth/api/ecr"
	"berth/aws"
)

// CheckImage is a *Failure if the image's name is of Berth's own registry and nothing is there: its tasks would only fail one by
// one. It says nothing of other registries.
func (c *Client) CheckImage(ctx context.Context, image string) error {
	host, rest, _ := strings.Cut(image, "/")
	parts := strings.SplitN(rest, "/", 3) // account, region, repository
	if len(parts) < 3 {
		return nil
	}
	login, err := Call[api.GetAuthorizationTokenResponse](ctx, c, ECR, "GetAuthorizationToken", api.GetAuthorizationTokenRequest{})
	if err != nil {
		return err
	}
	if len(login.AuthorizationData) == 0 {
		return nil
	}
	if _, own, _ := strings.Cut(aws.Value(login.AuthorizationData[0].ProxyEndpoint), "://"); own != host {
		return nil
	}
	repository, id := imageIdentifier(parts[2])
	there := *c
	there.Region = parts[1]
	in := api.DescribeImagesRequest{RegistryId: &parts[0], RepositoryName: &repository, ImageIds: []api.ImageIdentifier{id}}
	_, err = Call[api.DescribeImagesResponse](ctx, &there, ECR, "DescribeImages", in)
	f, ok := errors.AsType[*Failure](err)
	if !ok || f.Exit != ExitNotFound {
		return err
	}
	out := &Failure{
		What: "no image " + image, Cause: "Berth's registry has no repository " + repository, Code: f.Code, Exit: ExitNotFound,
		Fix: "berth image push DIR-OR-TAR " + repository + ":" + firstOf(aws.Value(id.ImageTag), "TAG"),
	}
	if f.Code == "ImageNotFoundException" {
		out.Cause = "the repository " + repository + " has no such image; aws ecr list-images --repository-name " + repository + " says what it has"
	}
	return out
}

// imageIdentifier takes a repository's name with a digest, a tag or neither, which means latest, apart.
func imageIdentifier(name string) (repository string, id api.ImageIdentifier) {
	if repository, digest, ok := strings.Cut(name, "@"); ok {
		repository, _, _ = strings.Cut(repository, ":")
		return repository, api.ImageIdentifier{ImageDigest: &digest}
	}
	repository, tag, _ := strings.Cut(name, ":")
	return repository, api.ImageIdentifier{ImageTag: new(firstOf(tag, "latest"))}
}
