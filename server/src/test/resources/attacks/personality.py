# Group: kernel
# Tries: a personality that makes memory executable as it is read, and addresses fixed.
# Idea: what set-user-id programs were exploited with; docker limits it for that.
# Outcome: refused but for the plain ones.
from attack import call_refused

for flag in (0x0040000, 0x0400000, 0x0100000, 0x0800000, 0x4000000, 0x0200000):
    call_refused("%x" % flag, 135, flag)
