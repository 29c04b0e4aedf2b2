package ec2

import (
	"strings"
	"testing"

	"berth/store"
)

func TestDefaultSubnetsFollowTheZones(t *testing.T) {
	st := open(t)
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		for _, zone := range []string{"rack-1", region + "b", "", "rack-0", "rack-1"} {
			EnsureZone(tx, account, region, zone)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range DefaultSubnets(st.Read(), account, region) {
		got = append(got, s.Zone+" "+s.ZoneID+" "+s.CIDR.String())
		if found, ok := SubnetByID(st.Read(), account, region, s.ID); !ok || found != s || !kindSubnet.wellFormed(s.ID) {
			t.Errorf("by ID %s: %+v %v", s.ID, found, ok)
		}
	}
	const want = "eu-west-1a euw1-az1 172.31.0.0/20, eu-west-1b euw1-az2 172.31.16.0/20, eu-west-1c euw1-az3 172.31.32.0/20, " +
		"rack-1 euw1-az4 172.31.48.0/20, rack-0 euw1-az5 172.31.64.0/20"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if n := len(DefaultSubnets(st.Read(), "444455556666", region)); n != 3 {
		t.Errorf("another account has %d subnets", n)
	}
}

func TestIDsAreOfOneAccountAndRegion(t *testing.T) {
	seen := map[string]bool{}
	for _, account := range []string{account, "444455556666"} {
		for _, region := range []string{region, "us-east-1"} {
			for k, id := range map[kind]string{kindVPC: DefaultVPCID(account, region), kindGroup: DefaultGroupID(account, region)} {
				if seen[id] || !k.wellFormed(id) || len(id) != len(k.prefix)+18 {
					t.Errorf("ID %s", id)
				}
				seen[id] = true
			}
		}
	}
}

func TestZoneIDsAreAbbreviated(t *testing.T) {
	for region, want := range map[string]string{"us-east-1": "use1", "ap-southeast-2": "apse2", "us-gov-west-1": "usgw1", "eu-central-1": "euc1", "ap-northeast-3": "apne3", "home": "home", "": ""} {
		if got := abbreviate(region); got != want {
			t.Errorf("%s is %s, want %s", region, got, want)
		}
	}
}
