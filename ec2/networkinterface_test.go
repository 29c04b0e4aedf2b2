package ec2

import (
	"errors"
	"fmt"
	"testing"

	"berth/aws"
	"berth/store"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*aws.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// add makes an interface in the account's first subnet and returns it.
func add(t *testing.T, st *store.Store, account string, groups ...string) (v Interface, err error) {
	t.Helper()
	id := NewInterfaceID()
	err = st.Update(t.Context(), func(tx *store.Tx) (err error) {
		subnet := DefaultSubnets(tx, account, region)[0].ID
		v, err = CreateInterface(tx, Interface{ID: id, Account: account, Region: region, Subnet: subnet, Groups: groups})
		return err
	})
	return v, err
}

func TestAddressesAreTheLowestFreeAndUniqueOverAccounts(t *testing.T) {
	st := open(t)
	for i, account := range []string{account, "444455556666", account} {
		v, err := add(t, st, account)
		if want := fmt.Sprintf("172.31.0.%d", 4+i); err != nil || v.Address.String() != want || v.Zone != "eu-west-1a" || v.VPC != DefaultVPCID(account, region) {
			t.Errorf("got %+v %v, want address %s", v, err, want)
		}
		if got, ok := InterfaceByAddress(st.Read(), v.Address); !ok || got.ID != v.ID {
			t.Errorf("by address: %+v %v", got, ok)
		}
		if i == 1 {
			err := st.Update(t.Context(), func(tx *store.Tx) error { DeleteInterface(tx, v.Key()); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if v, err = add(t, st, account); err != nil || v.Address.String() != "172.31.0.5" {
				t.Errorf("after a deletion: %+v %v", v, err)
			}
		}
	}
}

func TestAFullSubnetRefusesInterfaces(t *testing.T) {
	st := open(t)
	subnet := DefaultSubnets(st.Read(), account, region)[0]
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		for a, n := subnet.first(), 0; n < subnet.size(); a, n = a.Next(), n+1 {
			Interfaces.Put(tx, Interface{ID: fmt.Sprint(n), Account: "444455556666", Region: region, Address: a, Block: subnet.CIDR.String()})
			if (a == subnet.last()) != (n == subnet.size()-1) {
				return fmt.Errorf("%s is number %d", a, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add(t, st, account); codeOf(err) != "InsufficientFreeAddressesInSubnet" {
		t.Errorf("got %v", err)
	}
}

func TestAnInterfaceNeedsItsSubnetAndGroups(t *testing.T) {
	st := open(t)
	if _, err := add(t, st, account, DefaultGroupID(account, region)); err != nil {
		t.Error(err)
	}
	if _, err := add(t, st, account, DefaultGroupID("444455556666", region)); codeOf(err) != "InvalidGroup.NotFound" {
		t.Errorf("the group of another account: %v", err)
	}
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		_, err := CreateInterface(tx, Interface{ID: NewInterfaceID(), Account: account, Region: region, Subnet: DefaultSubnets(tx, account, "us-east-1")[0].ID})
		return err
	})
	if codeOf(err) != "InvalidSubnetID.NotFound" {
		t.Errorf("the subnet of another region: %v", err)
	}
}
