package ec2

import "testing"

func TestZonesOfMachinesGetASubnetWhichStays(t *testing.T) {
	s, ctx := service(t)
	for range 2 {
		if _, err := (ZoneReconciler{s}).Reconcile(ctx, account+"/"+region+"/rack/7"); err != nil {
			t.Fatal(err)
		}
	}
	got := DefaultSubnets(s.Store.Read(), account, region)
	if len(got) != 4 || got[3].Zone != "rack/7" || got[3].CIDR.String() != "172.31.48.0/20" {
		t.Errorf("got %+v", got)
	}
	for _, zone := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"} {
		if _, err := (ZoneReconciler{s}).Reconcile(ctx, account+"/"+region+"/"+zone); err != nil {
			t.Fatal(err)
		}
	}
	if got = DefaultSubnets(s.Store.Read(), account, region); len(got) != mostSubnets || got[15].CIDR.String() != "172.31.240.0/20" {
		t.Errorf("got %d subnets, the last %+v", len(got), got[len(got)-1])
	}
	if n := len(zonesOf(s.Store.Read(), account, region)); n != 18 {
		t.Errorf("%d zones", n)
	}
}
