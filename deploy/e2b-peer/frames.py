"""Connect's messages in streams: a flag, a length and that many bytes of JSON."""

import json
import struct

HEAD = struct.Struct(">BI")
DATA = 0
END = 2
LIMIT = 64 * 1024 * 1024


class BadFrame(Exception):
    """What came is not a message of a stream."""


def frame(message, flags=DATA):
    data = json.dumps(message, separators=(",", ":")).encode()
    return HEAD.pack(flags, len(data)) + data


def error(code, message):
    """The last frame of a stream that failed."""
    return frame({"error": {"code": code, "message": message}}, END)


class Splitter:
    """Cuts bytes that come in any pieces into whole frames, their heads included."""

    def __init__(self):
        self.rest = bytearray()

    def feed(self, data):
        self.rest += data
        frames = []
        while len(self.rest) >= HEAD.size:
            _, length = HEAD.unpack_from(self.rest)
            if length > LIMIT:
                raise BadFrame("a message of %d bytes (expected: at most %d)" % (length, LIMIT))
            end = HEAD.size + length
            if len(self.rest) < end:
                break
            frames.append(bytes(self.rest[:end]))
            del self.rest[:end]
        return frames


def parse(whole):
    """Returns the JSON of one data frame."""
    flags, _ = HEAD.unpack_from(whole)
    if flags != DATA:
        raise BadFrame("a message with the flags %d (expected: 0)" % flags)
    try:
        return json.loads(whole[HEAD.size:])
    except ValueError as wrong:
        raise BadFrame("a message that is not JSON: %s" % wrong) from None
