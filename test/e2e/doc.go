// Package e2e tests the whole of Berth as a user meets it: the built binary, the AWS CLI and SDK, real containers.
// It needs root and skips without it.
package e2e
