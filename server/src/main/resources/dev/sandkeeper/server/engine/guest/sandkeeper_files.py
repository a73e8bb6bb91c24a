"""Files: the worker of one transfer, which does one request with the user's rights."""

import ctypes
import errno
import fcntl
import os
import time

from sandkeeper_processes import HOME, become_closed_user, keep_only, libc, load_program
from sandkeeper_wire import (
    CHANGE, CHUNK, CHUNK_BYTES, COMMIT, DATA, DONE, DROP, ENTRY, FAULT, REQUEST_SECONDS,
    STARTED, Gone, dial, named, pack,
)

# The longest pause in an upload; a broken one is given up after.
TRANSFER_SECONDS = 120.0
FAULTS = {
    errno.ENOENT: b"NOT_FOUND",
    errno.ENOTDIR: b"NOT_A_DIRECTORY",
    errno.EEXIST: b"EXISTS",
    errno.EISDIR: b"IS_A_DIRECTORY",
    errno.ENOTEMPTY: b"NOT_EMPTY",
    errno.EACCES: b"PERMISSION",
    errno.EPERM: b"PERMISSION",
    errno.EROFS: b"PERMISSION",
    errno.EBUSY: b"PERMISSION",
    errno.ENOSPC: b"NO_SPACE",
    errno.EDQUOT: b"NO_SPACE",
    errno.ENOMEM: b"NO_SPACE",
    errno.ENAMETOOLONG: b"INVALID_PATH",
    errno.ELOOP: b"INVALID_PATH",
    errno.EFBIG: b"TOO_LARGE",
    errno.E2BIG: b"TOO_LARGE",
}
KINDS = {0o100000: b"FILE", 0o040000: b"DIRECTORY", 0o120000: b"SYMLINK"}
# What no call takes as a path.
TOO_LONG_BYTES = 4096

AT_FDCWD = -100
RENAME_NOREPLACE = 1


class Fault(Exception):
    """A refusal that no error number stands for."""

    def __init__(self, kind, path=b""):
        super().__init__(kind, path)
        self.kind = kind
        # What is wrong, where that is not the path of the request.
        self.path = path


def serve_files(transfer_id, settings):
    """The life of a transfer's worker: one request, with the user's rights."""
    keep_only()
    channel = dial(b"file", transfer_id)
    # Unlike other processes of the user this one holds a connection to the engine.
    become_closed_user(settings)
    request = named(channel.await_request(REQUEST_SECONDS))
    channel.sock.setblocking(True)
    try:
        FILE_CALLS[request["call"][0]](channel, request, place(request["path"][0]))
    except Fault as fault:
        channel.send(FAULT, 0, pack(fault.kind, fault.path))
    except OSError as error:
        channel.send(FAULT, 0, pack(FAULTS.get(error.errno, b"OTHER"), b""))


def place(field):
    """Returns the absolute path that a request names."""
    path = field.decode("utf-8", "surrogateescape")
    if not path or "\0" in path or ".." in path.split("/"):
        raise OSError(errno.ENAMETOOLONG, path)
    return os.path.join(HOME, path)


def describe(path, status=None):
    if status is None:
        status = os.lstat(path)
    kind = KINDS.get(status.st_mode & 0o170000, b"OTHER")
    return pack(
        os.fsencode(path),
        kind,
        b"%d" % (status.st_size if kind == b"FILE" else 0),
        b"%d" % (status.st_mode & 0o7777),
        b"%d" % status.st_mtime_ns,
    )


def make_folders(path):
    """Makes a folder and all above it that are missing, which may be more than Python can recurse."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise NotADirectoryError(errno.ENOTDIR, folder) from None


def write_file(channel, request, path):
    if os.path.isdir(path):
        raise OSError(errno.EISDIR, path)
    folder, name = os.path.split(path)
    if not name:
        raise OSError(errno.EISDIR, path)
    make_folders(folder)
    mode = 0o644
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        pass
    resumable, size = "part" in request, 0
    if resumable:
        part = os.fsdecode(request["part"][0])
        fd = open_upload(part, request)
        size = int(request["offset"][0])
        send_bytes(channel, fd, size)
        channel.send(STARTED)
    else:
        part = os.path.join(folder, ".sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns()))
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        if not receive_bytes(channel, fd, size, int(request["most"][0])):
            os.unlink(part)
            return
        os.fchmod(fd, mode)
        os.replace(part, path)
    except Gone:
        if not resumable:
            os.unlink(part)
        raise
    except BaseException:
        os.unlink(part)
        raise
    finally:
        os.close(fd)
    channel.send(DONE, 0, describe(path))


def receive_bytes(channel, fd, size, most):
    """Writes what comes to a file that has so many bytes; returns whether it is to stay."""
    fault = None
    while True:
        kind, _, payload = channel.await_frame(TRANSFER_SECONDS)
        if kind == DROP:
            return False
        if kind == COMMIT:
            break
        if kind != CHUNK:
            raise Gone
        size += len(payload)
        if fault is None:
            # After a fault the rest is read and dropped: the engine is still sending.
            try:
                if size > most:
                    raise OSError(errno.EFBIG, size)
                view = memoryview(payload)
                while view:
                    view = view[os.write(fd, view) :]
            except OSError as error:
                fault = error
    if fault is not None:
        raise fault
    return True


def unpack_archive(channel, request, path):
    most, limit = int(request["most"][0]), int(request["limit"][0])
    part = "/tmp/.sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns())
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(part)
    if receive_bytes(channel, fd, 0, most):
        make_folders(path)
        with os.fdopen(fd, "rb") as file:
            with_archives(lambda archives: archives.unpack(file, path, most, limit, make_folders))
        channel.send(DONE, 0, describe(path))


def collect_files(channel, request, path):
    patterns = [os.fsdecode(pattern) for pattern in request["pattern"]]
    most, limit = int(request["most"][0]), int(request["limit"][0])
    folder = open_folder(path)

    def send(data):
        channel.send(DATA, 0, data)

    count = with_archives(lambda archives: archives.collect(folder, patterns, most, limit, send))
    channel.send(DONE, 0, pack(b"%d" % count))


def with_archives(work):
    """Does work on archives, and makes what is wrong with them a fault."""
    archives = load_program("sandkeeper_archives")
    try:
        return work(archives)
    except archives.BadArchive as error:
        raise Fault(b"BAD_ARCHIVE", os.fsencode(error.entry)) from None
    except OverflowError as error:
        raise Fault(b"TOO_LARGE", os.fsencode(str(error))) from None


def open_upload(part, request):
    """Opens what has come of an upload for whoever goes on with it, cut to the offset they go on from."""
    folder = os.path.dirname(part)
    make_folders(folder)
    drop_old_uploads(folder, float(request["keep"][0]))
    offset, flags = int(request["offset"][0]), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    if offset == 0:
        if not os.path.lexists(part) and len(os.listdir(folder)) >= int(request["uploads"][0]):
            raise Fault(b"TOO_MANY_UPLOADS")
        flags |= os.O_CREAT
    try:
        fd = os.open(part, flags, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have put the file in place since.
        if not os.path.samestat(os.fstat(fd), os.lstat(part)):
            raise BlockingIOError
    except FileNotFoundError:
        raise Fault(b"UPLOAD_OFFSET") from None
    except BlockingIOError:
        raise Fault(b"UPLOAD_BUSY") from None
    if offset > os.fstat(fd).st_size:
        raise Fault(b"UPLOAD_OFFSET")
    os.ftruncate(fd, offset)
    return fd


def drop_old_uploads(folder, keep_seconds):
    for name in os.listdir(folder):
        part = os.path.join(folder, name)
        try:
            if os.lstat(part).st_mtime < time.time() - keep_seconds:
                os.unlink(part)
        except OSError:
            # Somebody else was faster, or the user made something else of it.
            continue


def read_file(channel, request, path):
    # A pipe must not block the open.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(fd)
    kind = KINDS.get(status.st_mode & 0o170000)
    if kind == b"DIRECTORY":
        raise OSError(errno.EISDIR, path)
    if kind != b"FILE":
        raise OSError(errno.EINVAL, path)
    os.lseek(fd, int(request["offset"][0]), os.SEEK_SET)
    send_bytes(channel, fd, int(request["most"][0]))
    channel.send(DONE)


def send_bytes(channel, fd, most):
    """Sends what a file has from where it stands."""
    while most > 0:
        data = os.read(fd, min(most, CHUNK_BYTES))
        if not data:
            break
        channel.send(DATA, 0, data)
        most -= len(data)


def list_folder(channel, request, path):
    left = int(request["limit"][0])

    def send(fd, above, depth):
        nonlocal left
        names = []
        with os.scandir(fd) as entries:
            for entry in entries:
                if left == 0:
                    raise OSError(errno.E2BIG, path)
                left -= 1
                names.append(entry.name)
        for name in sorted(names):
            relative = os.path.join(above, name)
            child = os.path.join(path, relative)
            if len(os.fsencode(child)) >= TOO_LONG_BYTES:
                raise OSError(errno.E2BIG, child)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                # Removed since.
                continue
            channel.send(ENTRY, 0, pack(os.fsencode(relative)) + describe(child, status))
            if depth > 1 and KINDS.get(status.st_mode & 0o170000) == b"DIRECTORY":
                try:
                    child_fd = open_folder(name, os.O_NOFOLLOW, fd)
                except (FileNotFoundError, NotADirectoryError, PermissionError):
                    # Replaced since, or not to be read.
                    continue
                try:
                    send(child_fd, relative, depth - 1)
                finally:
                    os.close(child_fd)

    send(open_folder(path), "", int(request["depth"][0]))
    channel.send(DONE)


def open_folder(path, flags=0, above=None):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=above)


def stat_file(channel, request, path):
    channel.send(DONE, 0, describe(path))


def remove_file(channel, request, path):
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif request["recursive"][0] == b"1":
        clear_tree(path)
        os.rmdir(path)
    else:
        os.rmdir(path)
    channel.send(DONE)


def clear_tree(path):
    """Removes what is in a folder. Goes into each by name, as there may be more of them one below the other
    than Python can recurse or a path can hold."""
    enter_folder(path)
    names, left = [], [clear_folder()]
    while left:
        if left[-1]:
            names.append(left[-1].pop())
            enter_folder(names[-1])
            left.append(clear_folder())
        else:
            left.pop()
            os.chdir("..")
            if names:
                os.rmdir(names.pop())


def enter_folder(name):
    fd = open_folder(name, os.O_NOFOLLOW)
    os.fchdir(fd)
    os.close(fd)


def clear_folder():
    """Removes all but folders from the working one, and returns those."""
    folders = []
    with os.scandir() as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name)
    return folders


def make_folder(channel, request, path):
    make_folders(path)
    channel.send(DONE, 0, describe(path))


def move_file(channel, request, path):
    path, target = os.path.normpath(path), os.path.normpath(place(request["to"][0]))
    status = os.lstat(path)
    # Told before folders are made for it.
    if (settled(target) + "/").startswith(settled(path) + "/"):
        raise Fault(b"INTO_ITSELF")
    make_folders(os.path.dirname(target))
    if request["replace"][0] == b"1":
        # Between two names of one file a rename does nothing and calls it success.
        if os.path.lexists(target) and os.path.samestat(status, os.lstat(target)):
            raise Fault(b"INTO_ITSELF")
        os.rename(path, target)
    else:
        rename_to_new(path, target)
    channel.send(DONE, 0, describe(target))


def settled(path):
    """Returns a path without links but for its last name, which a rename does not follow."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def rename_to_new(path, target):
    """Renames unless there is something at the target."""
    names = os.fsencode(path), os.fsencode(target)
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class WatchListener:
    """Sends the engine what a watch tells. Blocks while the engine does not read: the kernel's queue then fills
    up, and says so."""

    def __init__(self, channel, path):
        self.channel = channel
        self.path = path

    def fileno(self):
        return self.channel.fileno()

    def begin(self, status):
        self.channel.send(ENTRY, 0, describe(self.path, status))

    def change(self, kind, path, path_before):
        self.channel.send(CHANGE, 0, pack(kind, path, path_before or b""))

    def hung_up(self):
        raise Gone


def watch_folder(channel, request, path):
    program = load_program("sandkeeper_watch")
    recursive, limit = request["recursive"][0] == b"1", int(request["limit"][0])
    try:
        program.watch(path, recursive, limit, WatchListener(channel, path))
    except program.TooMany:
        raise Fault(b"TOO_MANY_WATCHES") from None
    channel.send(DONE)


FILE_CALLS = {
    b"write": write_file,
    b"read": read_file,
    b"list": list_folder,
    b"stat": stat_file,
    b"remove": remove_file,
    b"make": make_folder,
    b"move": move_file,
    b"unpack": unpack_archive,
    b"collect": collect_files,
    b"watch": watch_folder,
}
