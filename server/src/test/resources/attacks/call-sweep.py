# Group: kernel
# Tries: every number of a system call up to 700, with arguments that mean nothing, each in a process of its own.
# Idea: fuzzing, as trinity and syzkaller do; new calls that a list of what is denied does not know.
# Outcome: what is not on the list is refused; agent and host live.
import os

from attack import call, check, in_child

# Newer than what is allowed, and those with numbers of old architectures' own.
reached = []
for start in range(0, 700, 50):

    def some():
        for number in range(start, start + 50):
            # Not those that end or stop the process, wait, or change whom it belongs to.
            if number in (15, 34, 57, 58, 59, 60, 61, 62, 112, 130, 200, 231, 234, 247, 35, 230, 322, 436, 3, 33, 292, 37):
                continue
            result = call(number, -1, -1, -1, -1, -1, -1)
            if number >= 470 and -result not in (1, 38):
                reached.append((number, result))
        return bool(reached)

    status = in_child(some, seconds=1)
    check("from %d: %d" % (start, status), not os.WIFEXITED(status) or os.WEXITSTATUS(status) != 1, reached)
