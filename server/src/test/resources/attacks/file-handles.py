# Group: kernel
# Tries: open a file of the host by its number, which no path is needed for.
# Idea: "shocker" (2014) against docker; later against runtimes that let open_by_handle_at through.
# Outcome: the calls are refused.
import struct

from attack import call_refused

handle = struct.pack("=IiQ", 8, 1, 2)
call_refused("name_to_handle_at", 303, -100, b"/usr", handle, bytes(4), 0)
call_refused("open_by_handle_at", 304, 0, handle, 0)
