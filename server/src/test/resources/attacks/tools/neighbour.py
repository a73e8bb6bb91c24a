"""What a neighbour does while it is attacked: uses a little of everything that one sandbox could take from all."""

import ctypes
import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)


def need(what, result):
    if result < 0:
        sys.exit("%s: %s" % (what, os.strerror(ctypes.get_errno())))
    return result


for end in pty.openpty():
    os.close(end)
watch = need("inotify", libc.inotify_init1(0))
need("a watch", libc.inotify_add_watch(watch, b"/home/user", 2))
need("a message queue", libc.syscall(240, b"neighbour", os.O_CREAT | os.O_RDWR, 0o600, 0))
need("a segment", libc.shmget(0, 4096, 0o1600))
need("locked memory", libc.mlock(ctypes.create_string_buffer(64), 64))
reader, writer = os.pipe()
fcntl.fcntl(writer, 1031, 1 << 17)
os.write(writer, bytes(1 << 17))
files = [os.open("/etc/hosts", os.O_RDONLY) for _ in range(200)]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
information = ctypes.create_string_buffer(b"\0" * 8 + b"\xff" * 4, 128)
need("a queued signal", libc.syscall(129, os.getpid(), int(signal.SIGRTMIN), information))
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
    caller.sendall(bytes(100000))
with open("/dev/shm/neighbour", "wb") as file:
    file.write(bytes(1 << 20))
os.unlink("/dev/shm/neighbour")
with open("/home/user/secret") as file:
    if file.read() != sys.argv[1]:
        sys.exit("another secret")
print("well", subprocess.run(["echo", sys.argv[2]], capture_output=True, text=True, check=True).stdout.strip())
