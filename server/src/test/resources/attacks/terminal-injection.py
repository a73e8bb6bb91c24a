# Group: engine
# Tries: put keys into the terminal that it runs on, and others', and take the console.
# Idea: TIOCSTI against su and sandboxes (CVE-2016-2568, flatpak CVE-2017-5226), TIOCLINUX (CVE-2023-1523, snapd).
# Outcome: it reaches its own terminal at most; the host has none of the sandbox's.
# Runs: in a terminal
import fcntl
import glob
import os
import termios

from attack import held, refused

own = os.ttyname(0) if os.isatty(0) else None
for path in ["/dev/console", "/dev/tty0", "/dev/tty1", "/dev/vcs"] + glob.glob("/dev/pts/*"):
    for what, number, argument in (
        ("keys", termios.TIOCSTI, b"x"),
        ("selection", 0x541C, b"\x02"),
        ("console", 0x541D, 0),
        ("steal", termios.TIOCSCTTY, 1),
    ):

        def attempt():
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
            try:
                return fcntl.ioctl(fd, number, argument)
            finally:
                os.close(fd)

        if path == own:
            try:
                attempt()
            except OSError:
                held("not even on its own: " + what)
        else:
            refused("%s on %s" % (what, path), attempt)
print("\x1b]0;title\x07\x1b[6n\x1b[c\x1b[21t\x1bP$q\x1b\\")
held("escapes are output")
