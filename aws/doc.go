// Package aws is the vocabulary that every service shares: ARNs, errors, callers, times, page tokens, identifiers,
// and the description of an API that generated code fills in and the front door (aws/wire) serves.
package aws
