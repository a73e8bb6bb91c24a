# Group: kernel
# Tries: io_uring, by whose rings calls are made that no filter sees.
# Idea: CVE-2021-41073, CVE-2022-29582, CVE-2023-2598 and more; the most fruitful source of kernel holes for years.
# Outcome: refused.
from attack import call_refused

for number in (425, 426, 427):
    call_refused("call %d" % number, number, 8, bytes(120), 0, 0, 0, 0)
