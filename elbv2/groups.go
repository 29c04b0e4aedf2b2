package elbv2

// Groups are the ARNs of the target groups that the listener's default action forwards to, each once.
func (v Listener) Groups() []string { return groupsOf(v.DefaultActions) }

// Groups are the ARNs of the target groups that the rule forwards to, each once.
func (v Rule) Groups() []string { return groupsOf(v.Actions) }

// KeyOfGroup is the key of the target group that an ARN names; empty if it names none.
func KeyOfGroup(arn string) string { return keyOf(arn, "targetgroup") }
