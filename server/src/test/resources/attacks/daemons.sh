# shellcheck shell=bash
# Group: processes
# Tries: leave daemons that outlive the program: with no terminal, no session of its, no open pipes, no signals heard.
# Idea: miners that stay behind; judges that reuse a box after such a job.
# Outcome: they stay in the sandbox, and end with it.
# Sandbox: own
for _ in 1 2 3 4 5; do
  (trap '' TERM HUP INT; setsid nohup sh -c 'trap "" TERM HUP INT; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &)
done
python3 - <<'END'
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        os.execvp("sleep", ["[kworker/0:1]", "600"])
    os._exit(0)
os.wait()
END
echo "held: six daemons"
