#!/bin/sh
# Run by the engine beside a sandbox it pauses: ends the sandbox when its paid time is over, also
# when there is no engine any more. The agent, which does so otherwise, is frozen.
#
#   watch.sh SECONDS UNTIL NOTE SWITCH THAWED
#
# After SECONDS it acts if NOTE still says UNTIL, or else another one watches, and the freezer's
# SWITCH does not say THAWED, or else the agent is awake.
set -eu
seconds=$1 until=$2 note=$3 switch=$4 thawed=$5
trap '[ -z "${!:-}" ] || kill "$!"; exit 1' TERM
sleep "$seconds" &
wait "$!"
read -r paid <"$note"
[ "$paid" = "$until" ]
read -r state <"$switch"
[ "$state" != "$thawed" ]
# What is killed while it is frozen never runs again, wherever it waits.
processes=$(cat "${switch%/*}/cgroup.procs")
for process in $processes; do
  kill -KILL "$process" || true
done
echo "$thawed" >"$switch"
