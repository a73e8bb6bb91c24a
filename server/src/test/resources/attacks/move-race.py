# Group: races
# Tries: swap the folders of the path that the host moves a file along.
# Idea: time of check, time of use, in rename: what is moved, or where to, is another by then.
# Outcome: nothing of the system moves.
# Host: moves
import os
import time

from attack import check

before = sorted(os.listdir("/etc")), sorted(os.listdir("/"))
end = time.monotonic() + 0.7
while time.monotonic() < end:
    try:
        os.symlink("/etc/passwd", "/home/user/link")
        os.replace("/home/user/link", "/home/user/target")
        os.symlink("/etc", "/home/user/link")
        os.replace("/home/user/link", "/home/user/moved")
        os.unlink("/home/user/moved")
    except OSError:
        pass
check("/etc and / are as before", before == (sorted(os.listdir("/etc")), sorted(os.listdir("/"))))
