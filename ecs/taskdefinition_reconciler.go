package ecs

import (
	"context"
	"time"

	"berth/reconcile"
	"berth/store"
)

// TaskDefinitionReconciler removes revisions in DELETE_IN_PROGRESS: they are hidden once no task that is not STOPPED
// or service refers to them, and their record goes with the last stopped one. Keys are task definition keys.
type TaskDefinitionReconciler struct {
	store *store.Store
}

// Name is ecs.taskdefinition.
func (TaskDefinitionReconciler) Name() string { return "ecs.taskdefinition" }

// Triggers wakes revisions that are to be deleted, and those of tasks that stop or are removed and of deployments that are gone.
func (TaskDefinitionReconciler) Triggers() []reconcile.Trigger {
	return []reconcile.Trigger{
		reconcile.On(TaskDefinitions, func(t TaskDefinition) []string { return one(t.Status == definitionDeleting, t.Key()) }),
		reconcile.On(Tasks, func(t Task) []string { return one(!t.Active(), t.DefinitionKey()) }),
		reconcile.On(Deployments, func(d Deployment) []string { return one(d.Gone, d.DefinitionKey()) }),
	}
}

// Reconcile hides or removes one revision.
func (d TaskDefinitionReconciler) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	if t, ok := TaskDefinitions.Get(d.store.Read(), key); !ok || t.Status != definitionDeleting {
		return 0, nil
	}
	return 0, d.store.Update(ctx, func(tx *store.Tx) error {
		t, ok := TaskDefinitions.Get(tx, key)
		if !ok || t.Status != definitionDeleting {
			return nil
		}
		if Deployments.CountBy(tx, byDeploymentDefinition, key) > 0 {
			return nil
		}
		if Tasks.CountBy(tx, byTaskDefinition, key) == 0 {
			TaskDefinitions.Delete(tx, key)
			return nil
		}
		if !t.Gone && Tasks.CountBy(tx, byTaskDefinitionActive, key) == 0 {
			t.Gone = true
			TaskDefinitions.Put(tx, t)
		}
		return nil
	})
}
