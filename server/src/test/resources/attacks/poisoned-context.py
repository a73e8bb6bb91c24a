# Group: engine
# Tries: poison the interpreter that keeps variables, so that what comes after lies or breaks its supervisor.
# Idea: kernels of notebooks share their process with the user's code; patched print, hooks, modules, descriptors.
# Outcome: it deceives itself only; a command and a new context do as they are told.
# Sandbox: own
# Runs: as a cell
# Ends: COMPLETED, LOST, SIGNALED, DEADLINE
# Deadline: 5
import builtins
import gc
import os
import signal
import sys
import threading

print("held: it begins", flush=True)


def liar(*arguments, **named):
    return 43


for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, liar)
    except (OSError, ValueError):
        pass
gc.callbacks.append(liar)
sys.settrace(liar)
threading.settrace(liar)
sys.displayhook = sys.excepthook = liar
sys.stdout = sys.stderr = None
for name in ("json", "struct", "socket", "select", "pickle", "os", "time"):
    sys.modules[name] = liar
os.write, os.read, os._exit, os.fork = liar, liar, liar, liar
builtins.repr = builtins.len = builtins.compile = builtins.exec = builtins.eval = liar
sys.setrecursionlimit(20)
