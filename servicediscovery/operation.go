package servicediscovery

import (
	"context"
	"fmt"
	"time"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// Operation is the record of something that an operation of the API did. Written by: the operation that did it.
type Operation struct {
	Account string            `json:"a"`
	Region  string            `json:"r"`
	ID      string            `json:"i"`
	Type    api.OperationType `json:"t"`
	At      int64             `json:"at"` // ms since the epoch
	// Targets are the IDs of what it was done to, by NAMESPACE, SERVICE and INSTANCE.
	Targets map[string]string `json:"g"`
}

// Operations is the table of operations, by account/region/ID.
var Operations = store.NewTable("servicediscovery/operation", Operation.Key)

// Key is account/region/ID.
func (o Operation) Key() string { return place(o.Account, o.Region) + o.ID }

// operationLife is how long an operation can be looked at. AWS promises nothing; clients poll for seconds.
const operationLife = 7 * 24 * time.Hour

// newOperation makes the record of what a caller does now. It is called outside of transactions.
func (s *Service) newOperation(ctx context.Context, kind api.OperationType) Operation {
	c := aws.CallerFrom(ctx)
	return Operation{Account: c.Account, Region: c.Region, ID: newID("") + newID("") + "-" + newID("")[:8], Type: kind, At: s.Now().UnixMilli()}
}

// done notes the operation with the things that it was done to: pairs of a kind and an ID.
func (o Operation) done(tx *store.Tx, pairs ...string) {
	o.Targets = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		o.Targets[pairs[i]] = pairs[i+1]
	}
	Operations.Put(tx, o)
}

// Kinds of targets of operations.
const (
	targetNamespace = "NAMESPACE"
	targetService   = "SERVICE"
	targetInstance  = "INSTANCE"
)

// GetOperation tells what became of an operation: it succeeded, or it would not exist.
func (s *Service) GetOperation(ctx context.Context, in *api.GetOperationRequest) (*api.GetOperationResponse, error) {
	o, ok := Operations.Get(s.Store.Read(), callerPlace(ctx)+aws.Value(in.OperationId))
	if owner := aws.Value(in.OwnerAccount); !ok || owner != "" && owner != o.Account {
		return nil, aws.Errorf("OperationNotFound", "The operation %s was not found.", aws.Value(in.OperationId))
	}
	at := aws.NewTime(time.UnixMilli(o.At))
	return &api.GetOperationResponse{Operation: &api.Operation{
		Id: new(o.ID), OwnerAccount: new(o.Account), Type: o.Type, Status: api.OperationStatusSuccess, CreateDate: at, UpdateDate: at, Targets: o.Targets,
	}}, nil
}

// ListOperations lists the IDs of operations, in no order that says anything.
func (s *Service) ListOperations(ctx context.Context, in *api.ListOperationsRequest) (*api.ListOperationsResponse, error) {
	keep, err := operationFilter(in.Filters)
	if err != nil {
		return nil, err
	}
	at := callerPlace(ctx)
	all := func(yield func(Operation) bool) {
		for o := range Operations.Prefix(s.Store.Read(), at) {
			if keep(o) && !yield(o) {
				return
			}
		}
	}
	list, next, err := page(s, fmt.Sprintf("ListOperations %s %s", at, scopeOf(in.Filters)), in.NextToken, in.MaxResults, 100, all, Operation.Key)
	if err != nil {
		return nil, err
	}
	out := &api.ListOperationsResponse{Operations: []api.OperationSummary{}, NextToken: next}
	for _, o := range list {
		out.Operations = append(out.Operations, api.OperationSummary{Id: new(o.ID), Status: api.OperationStatusSuccess})
	}
	return out, nil
}

// operationExpiry removes operations whose time is over.
type operationExpiry struct{ s *Service }

// Name is servicediscovery.operation.
func (operationExpiry) Name() string { return "servicediscovery.operation" }

// Triggers: the operation.
func (operationExpiry) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{reconcile.OnSelf(Operations)}
}

// Reconcile removes one operation if its time is over.
func (e operationExpiry) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	o, ok := Operations.Get(e.s.Store.Read(), key)
	if !ok {
		return 0, nil
	}
	if left := time.UnixMilli(o.At).Add(operationLife).Sub(e.s.Now()); left > 0 {
		return left, nil
	}
	return 0, e.s.Store.Update(ctx, func(tx *store.Tx) error {
		Operations.Delete(tx, key) // an operation is never written again
		return nil
	})
}
