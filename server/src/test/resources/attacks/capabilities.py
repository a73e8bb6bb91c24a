# Group: kernel
# Tries: gain rights: by capset, ambient and bounding sets, secure bits, other ids, groups of the agent.
# Idea: containers that keep CAP_SETPCAP, or whose process keeps rights over a change of ids (CVE-2022-29162 in runc).
# Outcome: none is gained.
import os
import struct

from attack import call, check, refused

header = struct.pack("=Ii", 0x20080522, 0)
for rights in ((1 << 21, 1 << 21, 0), (0, 0, 1 << 7), (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)):
    result = call(126, header, struct.pack("=6I", *rights, 0, 0, 0))
    with open("/proc/self/status") as status:
        seen = [line for line in status if line[:6] in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
    check("capset: %d" % result, all(line.split()[1] == "0" * 16 for line in seen), seen)
for what, arguments in (
    ("ambient", (47, 2, 7)),
    ("new rights after all", (38, 0)),
    ("secure bits", (28, 0x2F)),
    ("keep rights", (8, 2)),
):
    result = call(157, *arguments, 0, 0)
    check("%s: %d" % (what, result), result < 0, result)
for identity in (0, 998, 65534, 1001, 65536):
    refused("user %d" % identity, lambda: os.setresuid(identity, identity, identity))
    refused("group %d" % identity, lambda: os.setresgid(identity, identity, identity))
    refused("groups %d" % identity, lambda: os.setgroups([identity]))
