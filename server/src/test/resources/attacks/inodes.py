# Group: files
# Tries: use up all the files there can be, in every folder that can be written to.
# Idea: limits by bytes forget what empty files take; kernel memory for them is the host's.
# Outcome: it ends at a limit; the next program runs.
# Sandbox: own
# Holds: yes
import errno
import os

from attack import check, hold

for folder in ("/tmp", "/dev/shm"):
    count, code = 0, 0
    try:
        for count in range(200000):
            os.close(os.open("%s/n%d" % (folder, count), os.O_CREAT))
    except OSError as error:
        code = error.errno
    check("%s: %d files" % (folder, count), code in (errno.ENOSPC, errno.ENOMEM) and count < 70000, code)
for number in range(10):
    # Room for the host's word.
    os.unlink("/tmp/n%d" % number)
hold()
