# Group: kernel
# Tries: the kernel's keyrings, which no namespace holds.
# Idea: CVE-2016-0728, CVE-2022-0847's kin; keys of other containers under the same id were readable.
# Outcome: refused.
from attack import call_refused

call_refused("add_key", 248, b"user", b"name", b"x", 1, -3)
call_refused("request_key", 249, b"user", b"name", 0, -3)
for command in range(0, 33):
    call_refused("keyctl %d" % command, 250, command, -3, 0, 0, 0)
