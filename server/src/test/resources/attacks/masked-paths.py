# Group: files
# Tries: read what is masked in /proc, and find it by another way to the same place.
# Idea: runc CVE-2019-19921 and CVE-2023-27561 got at masked files by a second view of /proc.
# Outcome: empty or not there, by every way.
import os

from attack import call_refused, check

MASKED = (
    "cmdline kallsyms kcore key-users keys kmsg modules partitions sched_debug slabinfo timer_list vmallocinfo"
    " iomem ioports interrupts diskstats swaps zoneinfo pressure/cpu acpi scsi asound config.gz kpagecount"
)


def content(path):
    try:
        if os.path.isdir(path):
            return os.listdir(path)
        with open(path, "rb") as file:
            return file.read(64)
    except OSError:
        return None


for name in MASKED.split():
    for way in ("/proc/", "/proc/self/root/proc/", "/proc/self/../", "/proc/self/cwd/../../../proc/"):
        seen = content(way + name)
        check("%s%s" % (way, name), not seen, seen)
call_refused("a second /proc", 165, b"proc", b"/tmp", b"proc", 0, 0)
call_refused("the mask taken off", 166, b"/proc/kcore", 2)
call_refused("a copy of the tree without masks", 428, -100, b"/proc", 1 | 0x8000)
call_refused("a /proc by the new calls", 430, b"proc", 0)
