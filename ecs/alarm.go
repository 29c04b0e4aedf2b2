package ecs

import (
	api "berth/api/ecs"
	"berth/store"
)

// Alarms is what deployments ask of CloudWatch. Without it (nil), alarms cannot be enabled for deployments.
type Alarms interface {
	// InAlarm are those of the names that are in state ALARM now, in order. Names of alarms that there are not are left out.
	InAlarm(r store.Reader, account, region string, names []string) []string
}

// checkAlarms refuses alarms that nothing would look at.
func (s *Service) checkAlarms(in *api.DeploymentConfiguration) error {
	switch {
	case in == nil || in.Alarms == nil || !value(in.Alarms.Enable):
		return nil
	case s.alarms == nil:
		return notYet("deploymentConfiguration.alarms (CloudWatch alarms)")
	case len(in.Alarms.AlarmNames) == 0:
		return invalid("alarmNames must have at least one name when alarms are enabled.")
	}
	return nil
}
