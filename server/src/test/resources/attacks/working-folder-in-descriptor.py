# Group: runc
# Tries: have the host start programs whose working folder is a descriptor of whoever starts them.
# Idea: runc CVE-2024-21626: process.cwd of /proc/self/fd/7 was a folder of the host.
# Outcome: the host's file is not to be had from there.
# Host: starts
from attack import held

held("the host starts programs in /proc/self/fd/N and /proc/thread-self/cwd")
