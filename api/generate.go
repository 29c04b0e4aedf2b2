// Package api is the parent of the generated packages, one for each AWS service. See README.md.
package api

//go:generate go run ./gen
