#!/usr/bin/env bash
# The sample from end to end: starts Berth, packs a Go program into an image, pushes it to Berth's own registry,
# runs it as a task with two containers, then as a service with three replicas behind a load balancer, and updates that under
# a loop of requests. Its names begin with demo- where the README's quick start has the same things, so that both fit one data directory.
# Usage: examples/demo.sh [data directory]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-/var/lib/berth}
berth=${BERTH_BINARY:-bin/berth}
export AWS_PAGER=

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { # a command, so that it can be typed as it is shown
  local word line='  $'
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  echo "$line"
}
run() { show "$@"; "$@"; }
wait_for() { # seconds, what, command...
  local left=$1 what=$2; shift 2
  until "$@"; do
    ((left-- > 0)) || { echo "error: waited too long for $what" >&2; exit 3; }
    sleep 1
  done
}

say "Starting Berth"
$berth up --detach --data-dir "$data"
eval "$($berth env --data-dir "$data")"

say "Packing and pushing the image"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir -p "$build/rootfs/bin" "$build/rootfs/data"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$build/rootfs/bin/hello" ./examples/hello
image=$($berth image push "$build/rootfs" hello:1 --data-dir "$data" -o name)
echo "  $image"

say "Running the task with the AWS CLI"
run aws ecs create-cluster --cluster-name default --query cluster.status --output text
sed -e "s|IMAGE|$image|" -e "s|REGION|$AWS_REGION|" -e "s|VISITS|$data/examples/visits|" \
  examples/hello/task-definition.json >"$build/task-definition.json"
run aws ecs register-task-definition --cli-input-json "file://$build/task-definition.json" \
  --query taskDefinition.taskDefinitionArn --output text
for old in $(aws ecs list-tasks --family hello --query 'taskArns[]' --output text); do
  [[ $old == None ]] || aws ecs stop-task --task "$old" --reason "a newer demo" >/dev/null
done
task=$(aws ecs run-task --task-definition hello --query 'tasks[0].taskArn' --output text)
echo "  $ aws ecs run-task --task-definition hello"
echo "  $task"
run aws ecs wait tasks-running --tasks "$task"
port=$(aws ecs describe-tasks --tasks "$task" \
  --query 'tasks[0].containers[?name==`web`].networkBindings[0].hostPort | [0]' --output text)
url="http://127.0.0.1:$port/"

say "Its answer over HTTP"
run curl -fsS "$url"

say "Its log lines, read back through aws logs"
stream=demo/web/${task##*/}
in_logs() { aws logs get-log-events --log-group-name /examples/hello --log-stream-name "$stream" \
  --query 'events[].message' --output text 2>/dev/null | grep -q visitor; }
wait_for 20 "the log line" in_logs
run aws logs get-log-events --log-group-name /examples/hello --log-stream-name "$stream" --start-from-head --query 'events[].message'

say "Three replicas behind a load balancer"
value() { aws "$@" --output text; }
if [[ $(value ecs describe-services --services demo-greet --query 'services[?status==`ACTIVE`] | length(@)') != 0 ]]; then
  run aws ecs delete-service --service demo-greet --force --query service.status --output text
  run aws ecs wait services-inactive --services demo-greet
fi
subnets=$(value ec2 describe-subnets --query 'Subnets[].SubnetId')
# shellcheck disable=SC2086 # several subnets are several words
lb=$(value elbv2 create-load-balancer --name demo-greet --scheme internal --subnets $subnets --query 'LoadBalancers[0].LoadBalancerArn')
group=$(value elbv2 create-target-group --name demo-greet --protocol HTTP --port 8080 --target-type instance \
  --vpc-id "$(value ec2 describe-vpcs --query 'Vpcs[0].VpcId')" --health-check-interval-seconds 5 --health-check-timeout-seconds 2 \
  --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn')
value elbv2 modify-target-group-attributes --target-group-arn "$group" \
  --attributes Key=deregistration_delay.timeout_seconds,Value=20 --query 'Attributes[0].Key' >/dev/null
if [[ $(value elbv2 describe-listeners --load-balancer-arn "$lb" --query 'length(Listeners)') == 0 ]]; then
  value elbv2 create-listener --load-balancer-arn "$lb" --protocol HTTP --port 80 \
    --default-actions "Type=forward,TargetGroupArn=$group" --query 'Listeners[0].ListenerArn' >/dev/null
fi
echo "  $lb"
sed -e "s|IMAGE|$image|" -e "s|REGION|$AWS_REGION|" -e 's|"family": "greet"|"family": "demo-greet"|' \
  examples/hello/service-task-definition.json >"$build/service.json"
run aws ecs register-task-definition --cli-input-json "file://$build/service.json" --query taskDefinition.taskDefinitionArn --output text
run aws ecs create-service --service-name demo-greet --task-definition demo-greet --desired-count 3 \
  --load-balancers "targetGroupArn=$group,containerName=greet,containerPort=8080" --query service.serviceName --output text
run $berth wait demo-greet --until deployed --data-dir "$data"
page=$($berth url demo-greet --data-dir "$data")
for _ in 1 2 3; do run curl -fsS "$page"; done

say "A rolling update to release 2, under a loop of requests"
"$build/rootfs/bin/hello" load -url "$page" -clients 4 >"$build/load" & loop=$!
sed -e 's|"value": "1"|"value": "2"|' "$build/service.json" >"$build/release2.json"
run $berth deploy demo-greet --task-definition "$build/release2.json" --data-dir "$data"
kill -TERM "$loop"
wait "$loop" || { cat "$build/load"; echo "error: requests were dropped" >&2; exit 1; }
cat "$build/load"

down="make down"
[[ $data == /var/lib/berth ]] || down+=" DATA_DIR=$data"
say "Berth is running. Look around:"
cat <<EOT
  page         $url
  service      $page
  endpoint     $AWS_ENDPOINT_URL
  use the CLI  eval "\$($berth env --data-dir $data)"; aws ecs list-tasks
  tasks        $berth ps --data-dir $data
  logs         $berth logs -f ${task##*/} --data-dir $data
  health       $berth status --data-dir $data
  end it       $down
EOT
