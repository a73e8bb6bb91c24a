"""Watches of folders, by the kernel's inotify."""

import asyncio
import ctypes
import os
import struct

from connect import CallError

ATTRIB, MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x4, 0x2, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, ISDIR, IGNORED = 0x400, 0x800, 0x40000000, 0x8000
MASK = ATTRIB | MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
TYPES = (
    (CREATE | MOVED_TO, "EVENT_TYPE_CREATE"), (MOVED_FROM | MOVE_SELF, "EVENT_TYPE_RENAME"),
    (ATTRIB, "EVENT_TYPE_CHMOD"), (MODIFY, "EVENT_TYPE_WRITE"), (DELETE | DELETE_SELF, "EVENT_TYPE_REMOVE"),
)
HEAD = struct.Struct("iIII")
NETWORK_KINDS = ("nfs", "nfs4", "cifs", "smb3", "fuse")
NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class Watch:
    """Events of one folder, and of those within when it is recursive, in the order they happen."""

    def __init__(self, path, recursive, describe):
        self.path = path
        self.recursive = recursive
        # Returns the entry that an event is about; None when clients did not ask for it.
        self.describe = describe
        self.events = asyncio.Queue()
        self.folders = {}
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(NONBLOCK_CLOEXEC)
        if self.descriptor < 0:
            raise CallError("internal", "error creating watcher: %s" % os.strerror(ctypes.get_errno()))
        self._add(path)
        asyncio.get_event_loop().add_reader(self.descriptor, self._read)

    def _add(self, folder):
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(folder), MASK)
        if number < 0:
            return
        self.folders[number] = folder
        if self.recursive:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        self._add(entry.path)

    def _read(self):
        data = os.read(self.descriptor, 64 * 1024)
        while data:
            number, mask, _, length = HEAD.unpack_from(data)
            name = data[HEAD.size:HEAD.size + length].rstrip(b"\0")
            data = data[HEAD.size + length:]
            self._event(number, mask, name)

    def _event(self, number, mask, name):
        folder = self.folders.get(number)
        if folder is None:
            return
        if mask & IGNORED:
            del self.folders[number]
            return
        if not name and folder != self.path:
            return  # the folder above it has said so
        path = os.path.join(folder, os.fsdecode(name)) if name else folder
        for bits, kind in TYPES:
            if mask & bits:
                event = {"name": os.path.relpath(path, self.path), "type": kind}
                entry = self.describe(path) if self.describe else None
                if entry is not None:
                    event["entry"] = entry
                self.events.put_nowait(event)
        if self.recursive and mask & ISDIR and mask & (CREATE | MOVED_TO):
            self._add(path)

    def drain(self):
        events = []
        while not self.events.empty():
            events.append(self.events.get_nowait())
        return events

    def close(self):
        if self.descriptor >= 0:
            asyncio.get_event_loop().remove_reader(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1


def is_on_network(path):
    """Whether a path lies on a file system that does not tell of changes."""
    best, kind = "", ""
    with open("/proc/mounts") as mounts:
        for line in mounts:
            words = line.split(" ")
            target = words[1]
            if (path + "/").startswith(target.rstrip("/") + "/") and len(target) >= len(best):
                best, kind = target, words[2]
    return kind.split(".")[0] in NETWORK_KINDS
