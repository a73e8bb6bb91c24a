"""The languages whose variables live on: how a process becomes the interpreter of each."""

import os

from sandkeeper_processes import become_user, enter
from sandkeeper_python import become_python
from sandkeeper_wire import FINISHED, HEADER, REQUEST, STARTED, frame, named

# What keeps the variables of JavaScript and TypeScript code.
NODE_PROGRAM = "/opt/sandkeeper/context.js"
# What keeps the variables of Java code.
JAVA_PROGRAM = "/opt/sandkeeper/JavaContext.java"
# What keeps the variables of R code.
R_PROGRAM = "/opt/sandkeeper/context.R"
# The descriptor that such programs are spoken to over.
PROGRAM_CHANNEL = 3
# Where a shell finds the standard error of its commands.
BASH_ERRORS = 3


def as_frame(payload, number):
    return HEADER.pack(len(payload), REQUEST, 0), payload


class Driver:
    """How the interpreter of a language is made and given its cells.

    `become` turns a process into it, given its channel, the settings and the folder it begins in; and
    `encode` makes of a request's payload and the cell's number what it is sent. One that may miss an
    interrupt, or drop with it what it was sent, has `finish`, which makes of the cell's number what has
    it tell the end again.
    """

    def __init__(self, become, encode=as_frame, finish=None):
        self.become = become
        self.encode = encode
        self.finish = finish


def become_node(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of JavaScript code."""
    run_node(channel_fd, settings, folder, [])


def become_node_for_typescript(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of TypeScript code."""
    run_node(channel_fd, settings, folder, ["typescript", settings.typescript])


def run_node(channel_fd, settings, folder, arguments):
    # Otherwise it takes the machine's memory for its own, and tidies up too late.
    heap = "--max-old-space-size=%d" % settings.memory_mib
    become_program(channel_fd, settings, folder, settings.node, [heap, NODE_PROGRAM, *arguments])


def become_java(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of Java code."""
    options = [
        # The rest is for the compiler's own memory, threads and the sandbox's disk.
        "-Xmx%dm" % (settings.memory_mib * 5 // 8),
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Dfile.encoding=UTF-8",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
    ]
    become_program(channel_fd, settings, folder, settings.java, [*options, JAVA_PROGRAM])


def become_r(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of R code."""
    options = ["--no-echo", "--no-restore", "--no-save", "--file=%s" % R_PROGRAM]
    become_program(channel_fd, settings, folder, settings.r, options)


def become_program(channel_fd, settings, folder, path, arguments):
    """Turns this process into a program of the user's that has the channel as PROGRAM_CHANNEL."""
    become_user(settings)
    enter(folder)
    os.dup2(channel_fd, PROGRAM_CHANNEL)
    os.set_inheritable(PROGRAM_CHANNEL, True)
    os.execve(path, [os.path.basename(path), *arguments], settings.environment)


def become_bash(channel_fd, settings, folder):
    """Turns this process into a shell that takes its commands from the channel, as from a terminal.

    Interactive, as only such a shell goes on with its next command when one is interrupted.
    """
    become_user(settings)
    enter(folder)
    # What it says of itself at its start is not for the user.
    errors_fd = os.dup(2)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    for fd, number in ((channel_fd, 0), (errors_fd, BASH_ERRORS)):
        os.dup2(fd, number)
        os.set_inheritable(number, True)
    options = ["--norc", "--noprofile", "--noediting", "+H", "+m", "-i"]
    os.execve("/bin/bash", ["bash", *options], settings.environment)


def encode_for_bash(payload, number):
    """The lines a shell reads: at first what it is to forget of a terminal, the cell, and its end.

    In POSIX mode, which goes with a variable, `unset` and `eval` are found before functions and, with the
    backslash, aliases of their names.
    """
    source = named(payload)["source"][0].replace(b"\0", b"").replace(b"'", b"'\\''")
    begin = b""
    if number == 1:
        begin = b"PS1= PS2= PROMPT_COMMAND=; set +o history; exec 2>&%d %d>&- 4<&0\n" % (
            BASH_ERRORS,
            BASH_ERRORS,
        )
    return (
        begin,
        b"{ POSIXLY_CORRECT=1; \\unset -f builtin; ",
        b"\\builtin printf '%s' >&4; } 2>/dev/null; " % octal(STARTED, number),
        b"\\eval '\\unset POSIXLY_CORRECT\n%s' </dev/null 4>&-\n" % source,
        finish_of_bash(number),
    )


def finish_of_bash(number):
    """The line that has a shell tell the end of a cell with its exit code."""
    return (
        b"{ POSIXLY_CORRECT=$?; \\unset -f builtin; "
        b"\\builtin printf -v POSIXLY_CORRECT %%x \"$POSIXLY_CORRECT\"; "
        b"\\builtin printf '%s\\x'\"$POSIXLY_CORRECT\" >&4; "
        b"\\unset POSIXLY_CORRECT; } 2>/dev/null\n" % octal(FINISHED, number)[:-4]
    )


def octal(kind, cell):
    """A frame without a payload, in the words of `printf`."""
    return b"".join(b"\\%03o" % byte for byte in frame(kind, cell << 8))


PYTHON = b"python"
DRIVERS = {
    PYTHON: Driver(become_python),
    b"javascript": Driver(become_node),
    b"typescript": Driver(become_node_for_typescript),
    b"java": Driver(become_java),
    b"r": Driver(become_r),
    b"bash": Driver(become_bash, encode_for_bash, finish_of_bash),
}
