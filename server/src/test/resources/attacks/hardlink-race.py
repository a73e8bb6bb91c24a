# Group: races
# Tries: hard links to files of others, first plainly, then in the place of one that the host writes.
# Idea: what the host truncates or chowns by name is another file by then; isolate chowns its box.
# Outcome: such links are refused, or lead to what the user cannot change; the host's write makes a new file.
# Host: writes
import os
import time

from attack import check, held

linked = []
for path in ("/etc/passwd", "/usr/bin/python3", "/opt/sandkeeper/agent.pyc", "/run/sandkeeper/paid-until"):
    try:
        os.link(path, "/home/user/hard-" + os.path.basename(path))
        linked.append(path)
    except OSError:
        held("no link to " + path)
check("none could be linked", not linked, linked)
victim = "/home/user/victim"
with open(victim, "w") as file:
    file.write("kept")
end = time.monotonic() + 0.5
while time.monotonic() < end:
    try:
        os.link(victim, "/home/user/target")
    except OSError:
        pass
    try:
        os.unlink("/home/user/target")
    except OSError:
        pass
with open(victim) as file:
    seen = file.read()
check("a file that was linked into the way is as before", seen == "kept", seen)
