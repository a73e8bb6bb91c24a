# Group: files
# Tries: make files that say they have terabytes, and take room ahead beyond the limit.
# Idea: judges that count by size or copy results out are filled up by sparse files (isolate has its own limit for it).
# Outcome: a size costs nothing, room is refused at the limit, and the host reads a part of it well.
import errno
import os

from attack import check, refused

with open("/tmp/sparse", "wb") as file:
    file.truncate(1 << 42)
    file.seek(1 << 41)
    file.write(b"x")
check("it takes no room", os.stat("/tmp/sparse").st_blocks < 1000)
os.truncate("/tmp/sparse", 0)
file = os.open("/tmp/ahead", os.O_CREAT | os.O_RDWR)
refused("a gigabyte ahead", lambda: os.posix_fallocate(file, 0, 1 << 30), (errno.ENOSPC,))
os.unlink("/tmp/ahead")
os.unlink("/tmp/sparse")
