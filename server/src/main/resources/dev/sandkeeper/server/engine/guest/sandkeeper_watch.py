"""What happens in a folder, by inotify; with all that is below it when that is asked for.

Loaded by the worker of a watch only.
"""

import ctypes
import errno
import os
import select
import struct

IN_MODIFY, IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x4, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000
IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_ISDIR = 0x1000000, 0x2000000, 0x4000000, 0x40000000
OVER = IN_DELETE_SELF | IN_UNMOUNT | IN_IGNORED
WATCHED = IN_CREATE | IN_MODIFY | IN_DELETE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO
WATCHED |= IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK
CHANGES = {
    IN_CREATE: b"CREATE",
    IN_MODIFY: b"WRITE",
    IN_DELETE: b"REMOVE",
    IN_ATTRIB: b"CHMOD",
}
EVENT = struct.Struct("=iIII")
READ_BYTES = 64 * 1024
# How often the folder is looked for: the kernel tells of its removal only once nobody works in it, and of a
# move only when it is the folder itself that is moved.
LOOK_MILLIS = 1000
# How long the second half of a rename is awaited; the kernel tells both at once.
RENAME_MILLIS = 10
# How far below the folder another may be whose changes are told.
MAX_DEPTH = 64

libc = ctypes.CDLL(None, use_errno=True)


class TooMany(Exception):
    """More folders than one watch, or the kernel, has room for."""


def watch(path, recursive, limit, listener):
    """Tells of what happens in a folder until it is gone from its path.

    listener.begin(status) comes once nothing is missed, then listener.change(kind, path, path_before), whose
    paths are bytes and the last of them None but for a RENAME. When listener.fileno() has something to read,
    listener.hung_up() is called, which has to raise.
    """
    root = os.fsencode(path)
    folder = os.stat(path)
    # gVisor would watch a file as well.
    if folder.st_mode & 0o170000 != 0o040000:
        raise NotADirectoryError(errno.ENOTDIR, path)
    tree = Tree(root, recursive, limit)
    listener.begin(folder)
    there = True
    while there:
        poller = select.poll()
        poller.register(tree.fd, select.POLLIN)
        poller.register(listener.fileno(), select.POLLIN)
        ready = [ready_fd for ready_fd, _ in poller.poll(LOOK_MILLIS)]
        if listener.fileno() in ready:
            listener.hung_up()
        events = read_events(tree.fd) if tree.fd in ready else []
        there = is_still(path, folder) and not any(
            mask & OVER and tree.folders.get(wd) == b"" for wd, mask, _, _ in events
        )
        for change in tree.changes(events):
            listener.change(*change)
        if there and (tree.is_unsure or any(mask & IN_Q_OVERFLOW for _, mask, _, _ in events)):
            # Folders may have come and gone unseen, or have other names.
            tree.close()
            tree = Tree(root, recursive, limit)
            listener.change(b"OVERFLOW", root, None)


class Tree:
    """The folders that one inotify descriptor tells of, by their paths below the first."""

    def __init__(self, root, recursive, limit):
        self.root = root
        self.recursive = recursive
        self.limit = limit
        self.folders = {}
        # Whether a folder may be elsewhere than is known here.
        self.is_unsure = False
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise failed()
        self.add(b"")
        if recursive:
            for _ in self.enter(b"", False):
                pass

    def close(self):
        os.close(self.fd)

    def path(self, below):
        return os.path.join(self.root, below) if below else self.root

    def add(self, below):
        """Begins to watch one folder; returns whether it was not watched before."""
        flags = WATCHED | IN_DONT_FOLLOW if below else WATCHED
        wd = libc.inotify_add_watch(self.fd, self.path(below), flags)
        if wd < 0:
            raise failed()
        is_new = wd not in self.folders
        self.folders[wd] = below
        if len(self.folders) > self.limit:
            raise TooMany
        return is_new

    def enter(self, top, is_new):
        """Watches what is below a folder that is watched; yields the paths of what is in new ones."""
        left = [(top, is_new)]
        while left:
            folder, is_new = left.pop()
            for name, is_folder in entries(self.path(folder)):
                below = os.path.join(folder, name)
                if is_new:
                    yield below
                if is_folder:
                    left += self.try_add(below)

    def try_add(self, below):
        """Watches a folder unless it is gone, too deep, or closed to the user; returns it and whether it is new."""
        if below.count(b"/") >= MAX_DEPTH:
            return []
        try:
            return [(below, self.add(below))]
        except OSError:
            return []

    def changes(self, events):
        """Yields what happened, to which path, and of a rename the path before."""
        targets = {cookie: (wd, name) for wd, mask, cookie, name in events if mask & IN_MOVED_TO}
        for wd, mask, cookie, name in events:
            folder = self.folders.get(wd)
            if mask & IN_IGNORED and folder:
                del self.folders[wd]
            # What happens to a folder below the first its parent tells.
            if folder is None or (folder and not name):
                continue
            below = os.path.join(folder, name)
            if mask & IN_MOVED_FROM:
                target = self.below(targets.pop(cookie, None))
                if target is None:
                    self.leave(below)
                    yield b"REMOVE", self.path(below), None
                else:
                    self.rename(below, target)
                    yield b"RENAME", self.path(target), self.path(below)
                    # It may have been renamed before all below it could be watched.
                    yield from self.look_into(target, mask)
            elif mask & IN_MOVED_TO:
                if targets.pop(cookie, None) is not None:
                    yield from self.come(below, mask)
            elif mask & IN_CREATE:
                yield from self.come(below, mask)
            else:
                for bit, change in CHANGES.items():
                    if mask & bit:
                        yield change, self.path(below), None

    def below(self, target):
        """Returns the path of what has come somewhere, None when it is not watched any more."""
        if target is None or target[0] not in self.folders:
            return None
        return os.path.join(self.folders[target[0]], target[1])

    def come(self, below, mask):
        yield b"CREATE", self.path(below), None
        yield from self.look_into(below, mask)

    def look_into(self, below, mask):
        """Watches a folder, and tells what it had in it before."""
        if self.recursive and mask & IN_ISDIR:
            for folder, is_new in self.try_add(below):
                for entry in self.enter(folder, is_new):
                    yield b"CREATE", self.path(entry), None

    def leave(self, top):
        """A folder was moved to where nothing is watched, with all that is below it."""
        for wd in self.at_or_below(top):
            del self.folders[wd]
            libc.inotify_rm_watch(self.fd, wd)

    def rename(self, top, target):
        # What was at the new path is replaced, if it was empty, or else at the old one now.
        for wd in self.at_or_below(target):
            del self.folders[wd]
            self.is_unsure = True
        for wd in self.at_or_below(top):
            self.folders[wd] = target + self.folders[wd][len(top) :]

    def at_or_below(self, top):
        return [wd for wd, folder in self.folders.items() if folder == top or folder.startswith(top + b"/")]


def failed():
    code = ctypes.get_errno()
    return TooMany() if code in (errno.EMFILE, errno.ENOSPC) else OSError(code, os.strerror(code))


def entries(path):
    """Returns the names in a folder, and whether each is one; none of what is gone or closed."""
    try:
        with os.scandir(path) as found:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    except OSError:
        return []


def is_still(path, folder):
    try:
        return os.path.samestat(os.stat(path), folder)
    except OSError:
        return False


def read_events(fd):
    """Returns (folder, mask, cookie, name) of what has happened, both halves of a rename together."""
    events = unpack(os.read(fd, READ_BYTES))
    if events[-1][1] & IN_MOVED_FROM:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if poller.poll(RENAME_MILLIS):
            events += unpack(os.read(fd, READ_BYTES))
    return events


def unpack(data):
    events, at = [], 0
    while at < len(data):
        wd, mask, cookie, size = EVENT.unpack_from(data, at)
        at += EVENT.size
        events.append((wd, mask, cookie, data[at : at + size].rstrip(b"\0")))
        at += size
    return events
