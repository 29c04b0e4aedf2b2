package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	ecrapi "berth/api/ecr"
	"berth/aws"
	"berth/cli"
	"berth/ecr/imagefile"
)

func imageCommand(o *options) *cobra.Command {
	return group("image", "Images in Berth's registry", &cobra.Command{
		Use:   "push DIR-OR-TAR NAME[:TAG]",
		Short: "Push an OCI layout, a `docker save` tar, or a folder that becomes the root file system",
		Example: "  berth image push ./rootfs hello:1\n" +
			"  docker save hello:1 -o hello.tar && berth image push hello.tar hello:1",
		Long: "Pushes an OCI layout, a `docker save` tar, or a folder that becomes the root file system. The repository is\n" +
			"made when there is none. Prints the image's name for task definitions, and its digest; -o name prints the name alone.",
		Annotations: map[string]string{outputs: "name"},
		Args:        cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, tag, err := splitImage(args[1])
			if err != nil {
				return err
			}
			if _, err := os.Stat(args[0]); err != nil {
				return &cli.Failure{What: "no image to push at " + args[0], Cause: err.Error()}
			}
			c, err := o.client()
			if err != nil {
				return err
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
}

// validTag is the grammar of the OCI distribution specification, validName that of ECR's repositories.
var (
	validTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	validName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// splitImage takes NAME:TAG apart. The tag is latest when there is none.
func splitImage(ref string) (name, tag string, err error) {
	name, tag = ref, "latest"
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		name, tag = ref[:i], ref[i+1:]
	}
	if len(name) < 2 || len(name) > 256 || !validName.MatchString(name) || !validTag.MatchString(tag) {
		return "", "", &cli.Failure{
			What: "not a repository's name and a tag: " + ref, Cause: "a name has 2 to 256 lower-case letters and digits, with . _ - / between them, and no host: the registry is always this Berth's own",
			Fix: "berth image push DIR-OR-TAR hello:1", Exit: cli.ExitUsage,
		}
	}
	return name, tag, nil
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
	if f, ok := errors.AsType[*cli.Failure](err); !ok || f.Code != "RepositoryAlreadyExistsException" {
		return "", err
	}
	in := ecrapi.DescribeRepositoriesRequest{RepositoryNames: []string{name}}
	there, err := cli.Call[ecrapi.DescribeRepositoriesResponse](ctx, c, cli.ECR, "DescribeRepositories", in)
	if err != nil {
		return "", err
	}
	return aws.Value(there.Repositories[0].RepositoryUri), nil
}
