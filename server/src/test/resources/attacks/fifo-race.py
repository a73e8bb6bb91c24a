# Group: races
# Tries: hold the host up for ever with pipes, sockets and terminals in the place of the file that it reads.
# Idea: collectors of results that open what they find hang on a FIFO; Judge0's and many graders' did.
# Outcome: each of the host's reads ends.
# Host: reads
import os
import pty
import socket
import time

from attack import held

end = time.monotonic() + 0.7
_, terminal = pty.openpty()
count = 0
while time.monotonic() < end:
    os.mkfifo("/home/user/trap")
    os.replace("/home/user/trap", "/home/user/target")
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind("/home/user/trap")
        os.replace("/home/user/trap", "/home/user/target")
    os.symlink(os.ttyname(terminal), "/home/user/trap")
    os.replace("/home/user/trap", "/home/user/target")
    os.symlink("/home/user/target", "/home/user/trap")
    os.replace("/home/user/trap", "/home/user/target")
    count += 1
os.unlink("/home/user/target")
os.mkfifo("/home/user/target")
held("%d swaps" % count)
