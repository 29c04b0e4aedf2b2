package server

import (
	"testing"

	"berth/ecs"
	"berth/store"
)

func TestTheLocalMachineIsTheSameUntilItWasDeregistered(t *testing.T) {
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	who := ecs.Machine{Account: "000000000000", Region: "us-east-1"}
	put := func(id, machine string, status ecs.InstanceStatus) {
		t.Helper()
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			ecs.ContainerInstances.Put(tx, ecs.ContainerInstance{Account: who.Account, Region: who.Region, Cluster: "default", ID: id, Machine: machine, Status: status})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		id, machine string
		status      ecs.InstanceStatus
		want        string
	}{
		{"1", "local", ecs.InstanceActive, "local"},
		{"1", "local", ecs.InstanceInactive, "local-2"},
		{"2", "local-2", ecs.InstanceDraining, "local-2"},
		{"2", "local-2", ecs.InstanceInactive, "local-3"},
	} {
		put(step.id, step.machine, step.status)
		if got := localID(st.Read(), who); got != step.want {
			t.Errorf("after %+v: %s", step, got)
		}
	}
}
