package rollout

// Stage is a lifecycle stage of a deployment that shifts traffic. The numbers are stored.
type Stage uint8

// The stages, in their order. PreProductionShift is one of hooks only: the API shows it as the stage before.
const (
	Unstaged Stage = iota
	ReconcileService
	PreScaleUp
	ScaleUp
	PostScaleUp
	TestShift
	PostTestShift
	PreProductionShift
	ProductionShift
	PostProductionShift
	BakeTime
	CleanUp
)

// String is the name that ECS has for the stage.
func (s Stage) String() string {
	return [...]string{
		"", "RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
		"PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP",
	}[s]
}

// Kinds of deployments that shift traffic.
const (
	BlueGreen = "BLUE_GREEN"
	Linear    = "LINEAR"
	Canary    = "CANARY"
)

// All is the whole of the traffic. Weights are in tenths of a percent.
const All = 1000

// Steps are the weights of the new revision after each step of the production shift, in tenths of a percent. The last is
// All. percent is the size of a step of LINEAR and the first weight of CANARY, in tenths; others have one step.
func Steps(kind string, percent int) (out []int) {
	if percent > 0 && percent < All {
		switch kind {
		case Canary:
			return []int{percent, All}
		case Linear:
			for w := percent; w < All; w += percent {
				out = append(out, w)
			}
		}
	}
	return append(out, All)
}

// Weights are whole weights of two target groups for a share of the second in tenths of a percent: as small as they can be,
// and never above 999, which is the most that a load balancer takes.
func Weights(share int) (first, second int) {
	if share%10 == 0 {
		return 100 - share/10, share / 10
	}
	return All - share, share
}
