// Package conformance has tests that ask an endpoint as a client does: with the AWS SDK, and with requests that no SDK
// would send. They check what clients rely on: defaults, empty lists, timestamps, pages, tags, codes and messages.
//
// By default the tests run a control plane of their own, without an agent and without root. With BERTH_ENDPOINT they
// ask that one, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; tests that need an account of their own
// are skipped there unless it takes development credentials (BERTH_DEV_CREDENTIALS=1). What they made stays there, under
// names with a random end.
//
//	world_test.go                  the endpoint, the clients, requests as they are
//	ecs_cluster_test.go            clusters
//	ecs_taskdefinition_test.go     task definitions
//	ecs_task_test.go               tasks, on a machine that exists in the records only
//	ecs_containerinstance_test.go  container instances, attributes
//	ecs_account_test.go            tags, account settings, what is not built
//	ecs_badinput_test.go           bad input to ECS
//	pages_test.go                  page tokens
//	ec2_test.go                    the default VPC, security groups, tags
//	terraform_test.go              what Terraform asks, and reads back
//	logs_test.go, ecr_test.go, sts_test.go   the other services
package conformance
