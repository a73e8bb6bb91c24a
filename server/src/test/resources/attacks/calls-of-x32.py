# Group: kernel
# Tries: calls of the x32 kind, whose numbers have a bit more.
# Idea: deny lists that compare numbers and forget the bit (CVE-2014-0038 was in that code, too).
# Outcome: the process is killed, or the call refused, for the harmless ones as well.
import os

from attack import call, check, in_child

X32 = 0x40000000
for name, number in (("getpid", 39), ("mount", 165), ("unshare", 272), ("ptrace", 521), ("socket", 41), ("clone", 56)):
    status = in_child(lambda: call(X32 | number, 0x10000000) >= 0)
    check("%s: %d" % (name, status), os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0)
