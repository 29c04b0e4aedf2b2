package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	ecrapi "berth/api/ecr"
	"berth/aws"
	"berth/cli"
	"berth/ecr/imagefile"
)

func imageCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Images in Berth's registry"}
	cmd.AddCommand(&cobra.Command{
		Use:   "push DIR-OR-TAR NAME:TAG",
		Short: "Push an OCI layout, a `docker save` tar, or a folder that becomes the root file system",
		Example: "  berth image push ./rootfs hello:1\n" +
			"  docker save hello:1 -o hello.tar && berth image push hello.tar hello:1",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			name, tag, ok := strings.Cut(args[1], ":")
			if !ok {
				tag = "latest"
			}
			var pushed imagefile.Result
			var ref string
			err = cli.Progress(cmd.Context(), cmd.ErrOrStderr(), "pushing "+args[1], func(ctx context.Context) error {
				pushed, ref, err = push(ctx, c, args[0], name, tag)
				return err
			})
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch o.output {
			case "name":
				_, err = fmt.Fprintln(w, ref)
			case "json":
				err = cli.PrintJSON(w, map[string]string{"image": ref, "digest": pushed.Digest})
			default:
				_, err = fmt.Fprintf(w, "%s\n%s\n", ref, pushed.Digest)
			}
			return err
		},
	})
	return cmd
}

// push makes the repository if there is none, and pushes the image with a login token.
func push(ctx context.Context, c *cli.Client, path, name, tag string) (pushed imagefile.Result, ref string, err error) {
	uri, err := repository(ctx, c, name)
	if err != nil {
		return pushed, "", err
	}
	login, err := cli.Call[ecrapi.GetAuthorizationTokenResponse](ctx, c, cli.ECR, "GetAuthorizationToken", ecrapi.GetAuthorizationTokenRequest{})
	if err != nil {
		return pushed, "", err
	}
	if len(login.AuthorizationData) == 0 {
		return pushed, "", &cli.Failure{What: "the registry gave no login token"}
	}
	decoded, err := base64.StdEncoding.DecodeString(aws.Value(login.AuthorizationData[0].AuthorizationToken))
	user, password, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok {
		return pushed, "", &cli.Failure{What: "the registry gave a login token that cannot be read"}
	}
	ref = uri + ":" + tag
	// The registry is on the API's own listener, so that it speaks TLS exactly when the API does.
	options := imagefile.Options{Username: user, Password: password, PlainHTTP: strings.HasPrefix(c.Endpoint, "http://")}
	pushed, err = imagefile.Push(ctx, path, ref, options)
	if err != nil {
		return pushed, "", &cli.Failure{What: "the image was not pushed", Cause: err.Error()}
	}
	return pushed, ref, nil
}

func repository(ctx context.Context, c *cli.Client, name string) (uri string, err error) {
	made, err := cli.Call[ecrapi.CreateRepositoryResponse](ctx, c, cli.ECR, "CreateRepository", ecrapi.CreateRepositoryRequest{RepositoryName: &name})
	if err == nil {
		return aws.Value(made.Repository.RepositoryUri), nil
	}
	if f, ok := err.(*cli.Failure); !ok || f.Code != "RepositoryAlreadyExistsException" {
		return "", err
	}
	in := ecrapi.DescribeRepositoriesRequest{RepositoryNames: []string{name}}
	there, err := cli.Call[ecrapi.DescribeRepositoriesResponse](ctx, c, cli.ECR, "DescribeRepositories", in)
	if err != nil {
		return "", err
	}
	return aws.Value(there.Repositories[0].RepositoryUri), nil
}
