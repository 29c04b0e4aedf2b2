package agent

import "testing"

func TestTaskMachine(t *testing.T) {
	tests := []struct{ name, def, script, trace, end string }{
		{"one container runs", "web", "go", "create web, start web", "RUNNING"},
		{"stop sends the signal and takes all away", "web", "go stop", "create web, start web, stop web, clean up", "STOPPED, UserInitiated, web=143"},
		{"SIGKILL follows after stopTimeout", "web stop=5", "hang=web go stop +4s", "create web, start web, stop web", "STOPPING, UserInitiated"},
		{"a container that ignores SIGTERM is killed", "web stop=5", "hang=web go stop +5s", "create web, start web, stop web, kill web, clean up", "STOPPED, UserInitiated, web=137"},
		{"default stopTimeout is 30 seconds", "web", "hang=web go stop +29s", "create web, start web, stop web", "STOPPING, UserInitiated"},
		{"stop before anything ran", "web", "slow=pull:web go stop end=pull:web", "clean up", "STOPPED, UserInitiated"},
		{"stop while a container is being started waits for it", "web", "slow=start:web go stop end=start:web", "create web, start web, stop web, clean up", "STOPPED, UserInitiated, web=143"},
		{"essential exit ends the task, also with code 0", "web; side-", "go exit=web:0", "create web, create side, start web, start side, stop side, clean up", "STOPPED, EssentialContainerExited, web=0, side=143"},
		{"other exits do not", "web; side-", "go exit=side:3", "create web, create side, start web, start side", "RUNNING, side=3"},
		{"an essential image that can't be pulled", "web; side-", "slow=pull:web fail=pull:web go end=pull:web", "create side, start side, stop side, clean up", "STOPPED, TaskFailedToStart, web=CannotPullContainerError, side=143"},
		{"an optional image that can't be pulled", "web; side-", "fail=pull:side go", "create web, start web", "RUNNING, side=CannotPullContainerError"},
		{"create fails", "web", "fail=create:web go", "create web, clean up", "STOPPED, TaskFailedToStart, web=CannotCreateContainerError"},
		{"start fails", "web", "fail=start:web go", "create web, start web, clean up", "STOPPED, TaskFailedToStart, web=CannotStartContainerError"},
		{"cgroup fails", "web", "fail=cgroup go", "clean up", "STOPPED, TaskFailedToStart"},
		{"START waits for the start", "web >db:START; db", "slow=start:db go", "create db", "PENDING"},
		{"START goes on after it", "web >db:START; db", "go", "create db, start db, create web, start web", "RUNNING"},
		{"a link is a START", "web link=db:database; db", "go", "create db, start db, create web, start web", "RUNNING"},
		{"START on what can't start", "web >db:START; db-", "fail=create:db go", "create db, clean up", "STOPPED, TaskFailedToStart, web=dependency graph, db=CannotCreateContainerError"},
		{"COMPLETE takes any code", "web >job:COMPLETE; job-", "go exit=job:7", "create job, start job, create web, start web", "RUNNING, job=7"},
		{"SUCCESS takes 0", "web >job:SUCCESS; job-", "go exit=job:0", "create job, start job, create web, start web", "RUNNING, job=0"},
		{"SUCCESS refuses 1", "web >job:SUCCESS; job-", "go exit=job:1", "create job, start job, clean up", "STOPPED, TaskFailedToStart, web=dependency graph, job=1"},
		{"HEALTHY waits for the check", "web >db:HEALTHY; db hc", "sick=db go", "create db, start db", "PENDING"},
		{"HEALTHY goes on after an early success", "web >db:HEALTHY; db hc", "sick=db go +1s well=db +3s", "create db, start db, create web, start web", "RUNNING, HEALTHY"},
		{"HEALTHY on what exits", "web >db:HEALTHY; db- hc", "sick=db go exit=db:0", "create db, start db, clean up", "STOPPED, TaskFailedToStart, web=dependency graph, db=0"},
		{"startTimeout bounds the wait", "web >db:HEALTHY; db hc start=20", "sick=db go +19s", "create db, start db", "PENDING"},
		{"startTimeout ends the task", "web >db:HEALTHY; db hc start=5", "sick=db go +5s", "create db, start db, stop db, clean up", "STOPPED, TaskFailedToStart, web=dependency graph, db=143"},
		{"stop goes in reverse order", "web >db:START; db", "hang=web go stop", "create db, start db, create web, start web, stop web", "STOPPING, UserInitiated"},
		{"each has its own stopTimeout in turn", "web >db:START stop=5; db stop=7", "hang=web hang=db go stop +5s", "create db, start db, create web, start web, stop web, kill web, stop db", "STOPPING, UserInitiated, web=137"},
		{"unhealthy after retries, counted from the first interval", "web hc", "sick=web go +9s +1s", "create web, start web", "RUNNING"},
		{"unhealthy after retries", "web hc", "sick=web go +20s", "create web, start web", "RUNNING, UNHEALTHY"},
		{"healthy again after one success", "web hc", "sick=web go +20s well=web +10s", "create web, start web", "RUNNING, HEALTHY"},
		{"restart policy starts it again", "web restart=60", "go +61s exit=web:1", "create web, start web, restart web, create web, start web", "RUNNING, web restarts=1"},
		{"restart policy not so soon", "web restart=60", "go +59s exit=web:1", "create web, start web, clean up", "STOPPED, EssentialContainerExited, web=1"},
		{"restart policy and an ignored code", "web restart=60", "go +61s exit=web:9", "create web, start web, clean up", "STOPPED, EssentialContainerExited, web=9"},
		{"no restart of a stopping task", "web restart=60", "go +61s stop", "create web, start web, stop web, clean up", "STOPPED, UserInitiated, web=143"},
		{"the first cause stays", "web; db", "hang=db go exit=web:1 stop", "create web, create db, start web, start db, stop db", "STOPPING, EssentialContainerExited, web=1"},
		{"what can't be removed does not hold the task for ever", "web", "fail=remove:web go stop +2m", "create web, start web, stop web", "STOPPED, UserInitiated, web=143"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSim(tt.def)
			s.play(t, tt.script)
			if got := s.actions(); got != tt.trace {
				t.Errorf("actions\n got %s\nwant %s", got, tt.trace)
			}
			if got := s.end(); got != tt.end {
				t.Errorf("end\n got %s\nwant %s", got, tt.end)
			}
		})
	}
}
