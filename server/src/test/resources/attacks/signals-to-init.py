# Group: processes
# Tries: end, stop or confuse process 1 by every signal, plainly and by the other calls that send some.
# Idea: isolate's keeper and judges' supervisors ran under the id of the job and could be killed by it.
# Outcome: each is refused.
import os
import signal

from attack import call, check, name_of

for number in range(1, 65):
    for what, result in (
        ("kill", call(62, 1, number)),
        ("tkill", call(200, 1, number)),
        ("tgkill", call(234, 1, 1, number)),
        ("rt_sigqueueinfo", call(129, 1, number, bytes(128))),
        ("rt_tgsigqueueinfo", call(297, 1, 1, number, bytes(128))),
    ):
        if result >= 0 or number == 9:
            check("%s %d: %s" % (what, number, name_of(-result)), result < 0, result)
fd = call(434, 1, 0)
if fd >= 0:
    result = call(424, fd, signal.SIGKILL, 0, 0)
    check("by a descriptor of it: " + name_of(-result), result < 0, result)
    result = call(438, fd, 0, 0)
    check("a descriptor out of it: " + name_of(-result), result < 0, result)
check("it is still there", os.getppid() >= 0)
