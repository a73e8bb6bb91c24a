# Group: kernel
# Tries: calls that load modules, boot, swap, set names, clocks and ports, and watch the whole machine.
# Idea: what a forgotten capability would let through.
# Outcome: each is refused before the kernel looks at it.
from attack import call_refused

CALLS = {
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "syslog": 103,
    "iopl": 172,
    "ioperm": 173,
    "sethostname": 170,
    "setdomainname": 171,
    "acct": 163,
    "settimeofday": 164,
    "clock_settime": 227,
    "clock_adjtime": 305,
    "adjtimex": 159,
    "vhangup": 153,
    "modify_ldt": 154,
    "lookup_dcookie": 212,
    "fanotify_init": 300,
    "fanotify_mark": 301,
    "move_pages": 279,
    "migrate_pages": 256,
    "kcmp": 312,
    "nfsservctl": 180,
    "quotactl_fd": 443,
    "process_madvise of another": 448,
    "memfd_secret": 447,
    "lsm_set_self_attr": 460,
    "uselib": 134,
    "ustat": 136,
    "sysfs": 139,
    "_sysctl": 156,
    "create_module": 174,
    "remap_file_pages": 216,
}
for name, number in CALLS.items():
    if name != "process_madvise of another":
        call_refused(name, number, 1, 0, 0, 0, 0, 0)
