# Group: kernel
# Tries: userfaultfd, which holds the kernel in the middle of a copy for as long as one likes.
# Idea: the tool that makes races in the kernel certain (CVE-2021-22555, CVE-2022-0185 and many more).
# Outcome: refused.
import os

from attack import call_refused, refused

for flags in (0, 1, os.O_CLOEXEC | os.O_NONBLOCK):
    call_refused("userfaultfd %x" % flags, 323, flags)
refused("its device", lambda: os.open("/dev/userfaultfd", os.O_RDWR))
