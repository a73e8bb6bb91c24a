"""Many files in one stream: tar archives of what is in a folder, and into one.

Loaded by the worker of such a transfer only: what it needs takes longer to load than most transfers.
"""

import os
import re
import stat
import tarfile
import time

CHUNK_BYTES = 256 * 1024
# How far below its folder a file may be.
MAX_DEPTH = 64
TOO_LONG_BYTES = 4096


class BadArchive(Exception):
    """No archive, or one with an entry that is not taken."""

    def __init__(self, entry):
        super().__init__(entry)
        self.entry = entry


class Sink:
    """What an archive is written to."""

    def __init__(self, send):
        self.send = send

    def write(self, data):
        self.send(bytes(data))


def collect(folder, patterns, most, limit, send):
    """Sends an archive of the files that match any pattern; returns how many they are."""
    wanted = re.compile("|".join(translate(pattern) for pattern in patterns), re.DOTALL)
    count = 0
    # The format of GNU, which has names of any bytes and any length, and every tar reads it.
    with tarfile.open(
        fileobj=Sink(send),
        mode="w|",
        bufsize=CHUNK_BYTES,
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        for above, name, relative, status in entries_below(folder, "", MAX_DEPTH):
            if not wanted.fullmatch(relative):
                continue
            entry = tarfile.TarInfo(relative)
            if stat.S_ISLNK(status.st_mode):
                entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=above)
                content = None
            elif stat.S_ISREG(status.st_mode):
                content = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above), "rb")
                status = os.fstat(content.fileno())
                entry.size = status.st_size
            else:
                continue
            count += 1
            if count > limit:
                raise OverflowError(relative)
            most -= entry.size
            if most < 0:
                raise OverflowError(relative)
            entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            archive.addfile(entry, content)
            if content is not None:
                content.close()
    return count


def entries_below(folder, above, depth):
    """Yields what is in a folder and below, in order, and skips what goes meanwhile or is not to be entered."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        relative = above + name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield folder, name, relative, status
        elif depth > 1:
            try:
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            try:
                yield from entries_below(child, relative + "/", depth - 1)
            finally:
                os.close(child)


def translate(pattern):
    """Returns a pattern for paths as a regular expression: ** is any folders, * and ? stay within a name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    meanings = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "(?:" + "".join(meanings.get(part) or re.escape(part) for part in parts) + ")"


def unpack(file, folder, most, limit, make_folders):
    """Puts what an archive holds into a folder: nothing of it unless all of it may be."""
    check(file, folder, most, limit)
    root = os.path.realpath(folder)
    for archive, entry in entries_of(file):
        target = os.path.join(root, os.path.normpath(entry.name))
        above = target if entry.isdir() else os.path.dirname(target)
        # A link that the archive brought, or that was there, must not lead elsewhere.
        if not (os.path.realpath(above) + "/").startswith(root.rstrip("/") + "/"):
            raise BadArchive(entry.name)
        make_folders(above)
        if not entry.isdir():
            place(archive, entry, root, target)


def check(file, folder, most, limit):
    for _, entry in entries_of(file):
        name = entry.name
        known = entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()
        names = [name, entry.linkname] if entry.islnk() else [name]
        if not known or any(leads_out(one) for one in names):
            raise BadArchive(name)
        if len(os.fsencode(os.path.join(folder, name))) >= TOO_LONG_BYTES:
            raise BadArchive(name)
        limit -= 1
        most -= entry.size
        if entry.size < 0:
            raise BadArchive(name)
        if limit < 0 or most < 0:
            raise OverflowError(name)


def leads_out(name):
    return not name or name.startswith("/") or ".." in name.split("/") or "\0" in name


def entries_of(file):
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for entry in archive:
                yield archive, entry
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BadArchive(str(error)) from None


def place(archive, entry, root, target):
    """Puts an entry in place, at one stroke, and replaces what is there unless that is a folder."""
    part = os.path.join(os.path.dirname(target), ".sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns()))
    try:
        if entry.issym():
            os.symlink(entry.linkname, part)
        elif entry.islnk():
            os.link(os.path.join(root, os.path.normpath(entry.linkname)), part, follow_symlinks=False)
        else:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as output, archive.extractfile(entry) as content:
                while data := content.read(CHUNK_BYTES):
                    output.write(data)
                output.flush()
                os.fchmod(fd, entry.mode & 0o777)
                os.utime(fd, (entry.mtime, entry.mtime))
        os.replace(part, target)
    except BaseException:
        try:
            os.unlink(part)
        except FileNotFoundError:
            pass
        raise
