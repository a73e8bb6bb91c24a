# Group: kernel
# Tries: every call that mounts, binds, moves, unmounts or changes the root, old and new.
# Idea: docker's and runc's escapes of 2019 to 2025 mostly end in a mount; sandbox-runtime binds over what it protects.
# Outcome: none is allowed.
from attack import call_refused

for what, number, *arguments in (
    ("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0),
    ("bind", 165, b"/usr", b"/tmp", 0, 4096, 0),
    ("remount", 165, b"none", b"/usr", 0, 32 | 4096, 0),
    ("make shared", 165, b"none", b"/", 0, 1 << 20, 0),
    ("umount2", 166, b"/usr", 2),
    ("pivot_root", 155, b"/tmp", b"/tmp"),
    ("chroot", 161, b"/tmp"),
    ("open_tree", 428, -100, b"/", 1),
    ("move_mount", 429, -100, b"/tmp", -100, b"/usr", 0),
    ("fsopen", 430, b"tmpfs", 0),
    ("fsconfig", 431, 3, 6, 0, 0, 0),
    ("fsmount", 432, 3, 0, 0),
    ("fspick", 433, -100, b"/", 0),
    ("mount_setattr", 442, -100, b"/", 0, b"\0" * 32, 32),
    ("statmount", 457, b"\0" * 32, b"\0" * 32, 32, 0),
    ("listmount", 458, b"\0" * 32, b"\0" * 32, 4, 0),
    ("open_tree_attr", 467, -100, b"/", 1, 0, 0),
    ("swapon", 167, b"/tmp/swap", 0),
    ("quotactl", 179, 0x800002 << 8, b"/dev/vda", 0, 0),
):
    call_refused(what, number, *arguments)
