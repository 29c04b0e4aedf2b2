package e2e

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// as is the same Berth, called with other credentials and in another region.
func (b *Berth) as(accessKey, region string) *Berth {
	out := *b
	out.cfg.Region = region
	out.cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "any"}, nil
	})
	return &out
}

// What a caller sees of the world.
type world struct{ Account, Clusters, Families, Repositories, Groups string }

func (b *Berth) world() world {
	b.t.Helper()
	ctx := b.t.Context()
	identity, err1 := sts.NewFromConfig(b.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	clusters, err2 := b.ecs().ListClusters(ctx, &ecs.ListClustersInput{})
	families, err3 := b.ecs().ListTaskDefinitionFamilies(ctx, &ecs.ListTaskDefinitionFamiliesInput{})
	repositories, err4 := b.ecr().DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})
	groups, err5 := b.logs().DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		b.t.Fatal(err)
	}
	w := world{Account: aws.ToString(identity.Account), Clusters: strings.Join(clusters.ClusterArns, " "), Families: strings.Join(families.Families, " ")}
	for _, r := range repositories.Repositories {
		w.Repositories += aws.ToString(r.RepositoryArn) + " "
	}
	for _, g := range groups.LogGroups {
		w.Groups += aws.ToString(g.LogGroupArn) + " "
	}
	return w
}

func TestAccountsAndRegionsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	b := start(t, "--dev-credentials")
	for _, c := range []struct{ key, account, region string }{
		{"111122223333", "111122223333", "us-east-1"}, {"444455556666", "444455556666", "us-east-1"}, {"111122223333", "111122223333", "eu-west-1"},
	} {
		own := b.as(c.key, c.region)
		before := own.world()
		if before != (world{Account: c.account}) {
			t.Errorf("%s in %s sees what others made: %+v", c.account, c.region, before)
		}
		_, err1 := own.ecs().CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: new("shop")})
		own.register(`{"family":"web","containerDefinitions":[{"name":"main","image":"web","memory":64}]}`)
		_, err2 := own.ecr().CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: new("web")})
		_, err3 := own.logs().CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("web")})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		place := ":" + c.region + ":" + c.account + ":"
		after := own.world()
		for _, arns := range []string{after.Clusters, after.Repositories, after.Groups} {
			if len(strings.Fields(arns)) != 1 || !strings.Contains(arns, place) {
				t.Errorf("%s in %s sees %q", c.account, c.region, arns)
			}
		}
		// Another account cannot name the cluster by its ARN.
		out, err := b.as("999999999999", c.region).ecs().DescribeClusters(t.Context(), &ecs.DescribeClustersInput{Clusters: []string{after.Clusters}})
		if err == nil && len(out.Clusters) > 0 {
			t.Errorf("another account sees %s", dump(out.Clusters))
		}
	}
	if got := b.as("AKIDANYTHING", "us-east-1").world(); got.Account != "000000000000" || strings.Contains(got.Clusters, "shop") {
		t.Errorf("any other access key sees %+v", got)
	}
}

func TestDevCredentialsAreForLoopbackOnly(t *testing.T) {
	t.Parallel()
	b := &Berth{t: t, Dir: t.TempDir()}
	out, err := b.try("up", "--dev-credentials", "--listen", "0.0.0.0:0")
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 || !strings.Contains(out, "loopback") {
		t.Errorf("it started: %v %s", err, out)
	}
}

func TestOtherKeysAreRefusedWithoutDevCredentials(t *testing.T) {
	b := shared(t)
	_, err := b.as("111122223333", "us-east-1").ecs().ListClusters(t.Context(), &ecs.ListClustersInput{})
	if err == nil || !slices.ContainsFunc([]string{"UnrecognizedClientException", "InvalidClientTokenId"}, func(code string) bool { return strings.Contains(err.Error(), code) }) {
		t.Errorf("a foreign key: %v", err)
	}
}
