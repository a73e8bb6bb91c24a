# Group: processes
# Tries: raise one's limits, priority and share of the processor.
# Idea: real-time programs that starve the machine; rlimits that are set on the soft side only.
# Outcome: refused.
import os
import resource
import struct

from attack import call, call_refused, check, refused

for name in [name for name in dir(resource) if name.startswith("RLIMIT_")]:
    soft, hard = resource.getrlimit(getattr(resource, name))
    if hard == resource.RLIM_INFINITY:
        continue
    try:
        resource.setrlimit(getattr(resource, name), (soft, hard + 1))
        check(name, False, "raised above %d" % hard)
    except (OSError, ValueError):
        check("%s stays at %d" % (name, hard), True)
refused("a better priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
for policy in (os.SCHED_FIFO, os.SCHED_RR):
    refused("real time %d" % policy, lambda: os.sched_setscheduler(0, policy, os.sched_param(1)))
deadline = struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10_000_000, 30_000_000, 30_000_000)
result = call(314, 0, deadline, 0)
check("a share by deadline", result < 0, result)
result = call(251, 1, 0, 1 << 13)
check("input and output in real time", result < 0, result)
call_refused("process accounting", 163, b"/tmp/accounts")
