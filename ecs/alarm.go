package ecs

import (
	"time"

	api "berth/api/ecs"
	"berth/store"
)

// Alarms is what deployments ask of CloudWatch. Without it (nil), alarms cannot be enabled for deployments.
type Alarms interface {
	// InAlarm are those of the names that are in state ALARM now, in order. Names of alarms that there are not are left out.
	InAlarm(r store.Reader, account, region string, names []string) []string
	// Window is the longest time over which one of the alarms looks: its period times its evaluation periods; 0 if there is none.
	Window(r store.Reader, account, region string, names []string) time.Duration
}

// How long a rolling deployment is watched for alarms when no bake time is given: until the slowest of them has seen it, with a minute for
// its metrics to come, but no less than leastAlarmBake. Source: ECS developer guide, deployment failure detection with alarms.
const (
	leastAlarmBake = 5 * time.Minute
	alarmDelay     = time.Minute
)

func (s *Service) alarmBake(r store.Reader, v ServiceRecord) time.Duration {
	return max(leastAlarmBake, s.alarms.Window(r, v.Account, v.Region, v.Config.Alarms.AlarmNames)+alarmDelay)
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
