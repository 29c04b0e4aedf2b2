package aws

import "context"

// Caller is who sent a request and to which account and region it speaks. The front door sets it once the
// signature is verified; everything that a handler names in an ARN comes from here.
type Caller struct {
	Account     string // 12 digits
	Region      string // from the credential scope
	ARN         ARN    // arn:aws:iam::123456789012:root until there are users and roles
	UserID      string // what GetCallerIdentity calls UserId
	AccessKeyID string
}

// RootCaller is the root of an account, speaking to a region.
func RootCaller(account, region, accessKeyID string) Caller {
	return Caller{
		Account: account, Region: region, ARN: NewARN("iam", "", account, "root"),
		UserID: account, AccessKeyID: accessKeyID,
	}
}

type contextKey int

const (
	callerKey contextKey = iota
	requestIDKey
)

// WithCaller returns a context whose requests are made by c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey, c)
}

// CallerFrom returns the caller, or the zero Caller outside a request.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey).(Caller)
	return c
}

// WithRequestID returns a context that carries the ID that the answer shows as x-amzn-RequestId.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestIDFrom returns the request's ID, or "" outside a request.
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}
