"""The users of a sandbox, and the paths they mean."""

import grp
import os
import pwd

from connect import CallError

DEFAULT = "user"


class UnknownUser(Exception):
    """No such user in the sandbox."""


def find(name):
    try:
        return pwd.getpwnam(name or DEFAULT)
    except KeyError:
        raise UnknownUser("invalid username: '%s'" % name) from None


def groups(user):
    return [user.pw_gid] + [one.gr_gid for one in grp.getgrall() if user.pw_name in one.gr_mem]


def owner_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def resolve(path, user):
    """Returns the absolute path that a user means."""
    if path == "~" or path.startswith("~/"):
        path = user.pw_dir + path[1:]
    elif path.startswith("~"):
        raise CallError("invalid_argument", "cannot expand the home of another user: %s" % path)
    if "\0" in path:
        raise CallError("invalid_argument", "a path with a NUL byte")
    return os.path.normpath(os.path.join(user.pw_dir, path))


def make_parents(path, user):
    """Makes the folders above a path that are missing, as the user's own."""
    missing = []
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        os.mkdir(folder, 0o755)
        os.chown(folder, user.pw_uid, user.pw_gid)
