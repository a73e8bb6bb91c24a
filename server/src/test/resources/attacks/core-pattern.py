# Group: files
# Tries: have the kernel run a program of the attacker's on the host: by core_pattern, modprobe, binfmt_misc, uevents.
# Idea: the classic way out of privileged containers; runc CVE-2025-31133 and CVE-2025-52881 reach it by tricked writes.
# Outcome: read-only, and a crash leaves no core.
import os
import resource
import signal

from attack import check, in_child, refused

for path in (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper",
    "/proc/self/root/proc/sys/kernel/core_pattern",
):
    refused(path, lambda: os.open(path, os.O_WRONLY))
    refused(path + ", its mode", lambda: os.chmod(path, 0o666))
check("no room for a core", resource.getrlimit(resource.RLIMIT_CORE)[1] == 0)
os.chdir("/tmp")
status = in_child(lambda: os.kill(os.getpid(), signal.SIGSEGV))
check("a crash dumps nothing", os.WIFSIGNALED(status) and not os.WCOREDUMP(status), status)
