# shellcheck shell=bash
# Group: processes
# Tries: take every process there can be, until its deadline.
# Idea: the oldest one.
# Outcome: it stays within the sandbox's number, and ends at the deadline with all it started.
# Sandbox: own
# Deadline: 2
# Ends: DEADLINE, OUT_OF_MEMORY, SIGNALED
echo "held: it begins"
# shellcheck disable=SC2264  # That is what it is.
bomb() { bomb | bomb & }
bomb
sleep 60
