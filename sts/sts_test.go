package sts

import (
	"testing"

	"berth/aws"
)

func TestGetCallerIdentityShowsTheCaller(t *testing.T) {
	ctx := aws.WithCaller(t.Context(), aws.RootCaller("111122223333", "eu-west-1", "AKIA"))
	out, err := New().GetCallerIdentity(ctx, nil)
	if err != nil || *out.Account != "111122223333" || *out.Arn != "arn:aws:iam::111122223333:root" || *out.UserId != "111122223333" {
		t.Errorf("got %+v, %v", out, err)
	}
}
