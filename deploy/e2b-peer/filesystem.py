"""The service filesystem.Filesystem: what there is, and how it is made, moved and removed."""

import errno
import os
import secrets
import shutil
import stat
from datetime import datetime, timezone

import users
from connect import CallError
from watches import Watch, is_on_network

METADATA = "user.e2b."


def entry(path):
    """Describes a file, a folder or a link, which is of the type of what it leads to."""
    seen = os.lstat(path)
    described = {
        "name": os.path.basename(path) or "/", "path": path, "size": str(seen.st_size),
        "permissions": permissions(seen.st_mode), "owner": users.owner_name(seen.st_uid),
        "group": users.group_name(seen.st_gid), "modifiedTime": rfc3339(seen.st_mtime_ns),
    }
    mode = seen.st_mode
    if stat.S_ISLNK(mode):
        described["symlinkTarget"] = os.path.realpath(path)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = 0
    if stat.S_ISREG(mode):
        described["type"] = "FILE_TYPE_FILE"
    elif stat.S_ISDIR(mode):
        described["type"] = "FILE_TYPE_DIRECTORY"
    metadata = read_metadata(path)
    if metadata:
        described["metadata"] = metadata
    # As protobuf's JSON does, what has its default is left out.
    if mode & 0o777:
        described["mode"] = mode & 0o777
    if seen.st_size == 0:
        del described["size"]
    return described


def permissions(mode):
    letters = stat.filemode(mode)
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return letters
    return ("L" if stat.S_ISLNK(mode) else letters[0].upper()) + letters[1:]


def rfc3339(nanos):
    seconds, rest = divmod(nanos, 10 ** 9)
    whole = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return whole + (".%09d" % rest if rest else "") + "Z"


def read_metadata(path):
    try:
        return {name[len(METADATA):]: os.getxattr(path, name, follow_symlinks=False).decode()
                for name in os.listxattr(path, follow_symlinks=False) if name.startswith(METADATA)}
    except OSError:
        return {}


class Filesystem:
    """Answers the calls on files and folders, all of which the daemon does with the rights of root."""

    def __init__(self):
        self.watchers = {}

    def unary(self):
        service = "/filesystem.Filesystem/"
        return {service + name: refusing(handle) for name, handle in (
            ("Stat", self.stat), ("MakeDir", self.make_dir), ("Move", self.move), ("ListDir", self.list_dir),
            ("Remove", self.remove), ("CreateWatcher", self.create_watcher),
            ("GetWatcherEvents", self.watcher_events), ("RemoveWatcher", self.remove_watcher))}

    def stat(self, request, user):
        return {"entry": entry(users.resolve(request["path"], user))}

    def make_dir(self, request, user):
        path = users.resolve(request["path"], user)
        if os.path.isdir(path):
            raise CallError("already_exists", "directory already exists: %s" % path)
        if os.path.lexists(path):
            raise CallError("invalid_argument", "path already exists but it is not a directory: %s" % path)
        users.make_parents(path, user)
        os.mkdir(path, 0o755)
        os.chown(path, user.pw_uid, user.pw_gid)
        return {"entry": entry(path)}

    def move(self, request, user):
        source = users.resolve(request["source"], user)
        destination = users.resolve(request["destination"], user)
        os.lstat(source)
        users.make_parents(destination, user)
        try:
            os.rename(source, destination)
        except OSError as failed:
            if failed.errno != errno.EXDEV:
                raise
            shutil.move(source, destination)
        return {"entry": entry(destination)}

    def list_dir(self, request, user):
        path = users.resolve(request["path"], user)
        folder = real_path(path)
        if not os.path.isdir(folder):
            raise CallError("invalid_argument", "path is not a directory: %s" % folder)
        entries = []
        self._walk(folder, path, request.get("depth") or 1, entries)
        return {"entries": entries}

    def _walk(self, folder, shown, depth, entries):
        for name in sorted(os.listdir(folder)):
            inner = os.path.join(folder, name)
            try:
                described = entry(inner)
            except FileNotFoundError:
                continue
            described["path"] = os.path.join(shown, name)
            entries.append(described)
            if depth > 1 and os.path.isdir(inner) and not os.path.islink(inner):
                self._walk(inner, described["path"], depth - 1, entries)

    def remove(self, request, user):
        path = users.resolve(request["path"], user)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        return {}

    def watch(self, request, user):
        path = users.resolve(request["path"], user)
        if not os.path.lexists(path):
            raise CallError("not_found", "path %s not found" % path)
        if not os.path.isdir(path):
            raise CallError("invalid_argument", "path %s not a directory" % path)
        if is_on_network(path) and not request.get("allowNetworkMounts"):
            raise CallError("invalid_argument", "cannot watch path on network filesystem: %s" % path)
        return Watch(path, request.get("recursive", False), described_or_none if request.get("includeEntry") else None)

    def create_watcher(self, request, user):
        number = "w" + secrets.token_hex(8)
        self.watchers[number] = self.watch(request, user)
        return {"watcherId": number}

    def watcher_events(self, request, user):
        return {"events": self._watcher(request).drain()}

    def remove_watcher(self, request, user):
        self._watcher(request).close()
        del self.watchers[request["watcherId"]]
        return {}

    def _watcher(self, request):
        watch = self.watchers.get(request["watcherId"])
        if watch is None:
            raise CallError("not_found", "watcher with id %s not found" % request["watcherId"])
        return watch


def described_or_none(path):
    try:
        return entry(path)
    except OSError:
        return None


def real_path(path):
    """Follows links; unlike realpath, says when one leads nowhere or in a circle."""
    os.stat(path)
    return os.path.realpath(path)


def refusing(handle):
    """What the system refuses becomes an error of Connect."""
    def call(request, user):
        try:
            return handle(request, user)
        except FileNotFoundError as failed:
            raise CallError("not_found", "file not found: %s" % failed.filename) from None
        except OSError as failed:
            code = "failed_precondition" if failed.errno == errno.ELOOP else "internal"
            raise CallError(code, "%s: %s" % (failed.strerror, failed.filename)) from None
    return call
