// Package ecr is the Elastic Container Registry: repositories and images, and the registry that holds their bytes.
//
//	client ──/v2/<account>/<region>/<repository>/...──▶ serve.go ──▶ distribution's handlers ──▶ files
//	                                                       │ after each manifest
//	                                                       ▼
//	aws ecr ...  ◀────────────────────────────────── records: Repository, Image
//
// The files are the truth about which images and tags there are; Image records are their index. A push or a deletion
// changes files first and records second, and the repository reconciler compares the two whenever the server starts, so
// a crash between them is made good. Only the deletion of a repository is decided by its record (Deleting).
//
// A repository's address is <host:port>/<account>/<region>/<name>, where host:port is the API listener. It works as it
// stands for docker, skopeo and crane on this machine (loopback addresses are plain http to them) and for tasks. A
// request whose Host is <account>.dkr.ecr.<region>.<anything> may leave account and region out of its path;
// agents send the pulls of such images here.
//
//	service.go, repository.go, image.go, layer.go, policy.go, tag.go, authorization.go     the AWS API
//	storage.go     distribution's storage: what there is, put, delete
//	serve.go       the /v2/ handlers: login, create on push, immutable tags; the agents' handler, pulls without login
//	answer.go      answers: errors in the registry's form, failures without their details
//	referrers.go   the referrers list, which distribution has not
//	index.go       Image records after a push, and from storage
//	collect.go     removal of blobs that no manifest names
//	repository_reconciler.go, lifecycle_reconciler.go; lifecycle/ is the pure decision
//	imagefile/     reads images from files and folders and pushes them
//
// Tokens of GetAuthorizationToken are good for all regions of the account. Differs: AWS gives one per region, but
// clients keep one password per host. Stored only: repository policies (there are no users yet that they could admit),
// scanOnPush. Refused: KMS encryption, lifecycle transitions. Scans, replication and pull-through rules are unsupported.
package ecr
