# Group: engine
# Tries: leave the interpreter by every door: become another program, fork and answer twice, close all, end at once.
# Idea: a kernel that answers twice, or not at all, shifts all later answers by one.
# Outcome: the execution ends, and the next ones are answered rightly.
# Sandbox: own
# Runs: as a cell
# Ends: COMPLETED, LOST, SIGNALED, DEADLINE
# Deadline: 5
import os

print("held: it begins", flush=True)
for _ in range(3):
    os.fork()
os.closerange(3, 100)
if os.fork() == 0:
    os.execv("/bin/echo", ["echo", "42"])
os._exit(0)
