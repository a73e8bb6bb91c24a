# Group: memory
# Tries: take all inotify instances and watches that the kernel gives to one user.
# Idea: they count for whoever made the user namespace as well: one sandbox could take them from all others.
# Outcome: the sandbox has a number of its own; the neighbour can still watch.
# Sandbox: own
# Holds: yes
from attack import check, hold, libc

instances = []
while len(instances) < 4000:
    fd = libc.inotify_init1(0)
    if fd < 0:
        break
    instances.append(fd)
check("%d instances" % len(instances), len(instances) < 100, len(instances))
hold()
