# Group: kernel
# Tries: counters of the processor, of oneself and of all, which measure what others do.
# Idea: CVE-2013-2094; side channels with good clocks.
# Outcome: refused.
import struct

from attack import call_refused

attributes = struct.pack("=IIQQQQQ", 0, 112, 0, 0, 0, 0, 0) + bytes(64)
for pid, processor in ((0, -1), (-1, 0), (1, -1)):
    call_refused("perf_event_open %d %d" % (pid, processor), 298, attributes, pid, processor, -1, 0)
