"""Faults that tests ask for: which requests they meet, and what they do to the answers."""

import asyncio
import re

from frames import Splitter
from http1 import Answer, Truncated

# Kind -> the settings it needs, and those it may have.
KINDS = {
    "status": ({"status": int}, {"body": None, "headers": dict}),
    "delay": ({"ms": int}, {}),
    "drop_answer": ({}, {}),
    "drop_request": ({}, {}),
    "cut": ({"bytes": int}, {}),
    "cut_frame": ({"frames": int}, {"bytes": int}),
    "duplicate": ({"frame": int}, {}),
    "swap": ({"frame": int}, {}),
    "stall": ({"ms": int}, {"bytes": int, "frames": int}),
    "cut_now": ({}, {}),
}
COMMON = {"kind": str, "method": str, "path": str, "times": int, "after": int}


class Rule:
    """One fault, and how often it is still to come."""

    def __init__(self, settings):
        if not isinstance(settings, dict) or settings.get("kind") not in KINDS:
            raise ValueError("kind: expected one of %s" % ", ".join(KINDS))
        needed, allowed = KINDS[settings["kind"]]
        types = {**COMMON, **needed, **allowed}
        for name, value in settings.items():
            if name not in types:
                raise ValueError("%s: unknown for the kind %s" % (name, settings["kind"]))
            if types[name] and (not isinstance(value, types[name]) or isinstance(value, bool)):
                raise ValueError("%s: %r (expected: %s)" % (name, value, types[name].__name__))
        for name in ("path", *needed):
            if name not in settings:
                raise ValueError("%s: missing" % name)
        self.settings = settings
        self.kind = settings["kind"]
        self.path = re.compile(settings["path"])
        self.skip = settings.get("after", 0)
        self.left = settings.get("times", 1)

    def fits(self, method, path):
        return self.settings.get("method", method) == method and self.path.search(path)

    def get(self, name, default=None):
        return self.settings.get(name, default)


class Faults:
    """The faults to come, first come first served."""

    def __init__(self):
        self.rules = []

    def take(self, method, path):
        """Returns the rule that this request meets, or None."""
        for rule in self.rules:
            if rule.left and rule.fits(method, path):
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.left -= 1
                return rule
        return None


class FaultyAnswer(Answer):
    """An answer that a rule spoils on its way."""

    def __init__(self, request, writer, rule):
        super().__init__(request, writer)
        self.rule = rule
        self.sent = 0
        self.frames = 0
        self.splitter = Splitter()
        self.held = None

    async def start(self, status, headers, chunked=True):
        if self.rule.kind == "drop_answer":
            self._close()
        await super().start(status, headers, chunked)
        if self.rule.kind == "cut" and self.rule.get("bytes") == 0:
            self._close()
        if self.rule.kind == "cut_frame" and self.rule.get("frames") == 0 and not self.rule.get("bytes"):
            self._close()

    async def write(self, data):
        kind = self.rule.kind
        if kind == "cut":
            await self._write_until(self.rule.get("bytes") - self.sent, data)
        elif kind == "stall" and self.rule.get("frames") is None:
            await self._stall_within(data)
        elif kind in ("cut_frame", "duplicate", "swap", "stall"):
            for whole in self.splitter.feed(data):
                await self._frame(whole)
        else:
            await super().write(data)

    async def finish(self):
        for rest in (self.held, bytes(self.splitter.rest)):
            if rest:
                await super().write(rest)
        await super().finish()

    async def _write_until(self, room, data):
        """Sends what there is room for; the connection ends with it."""
        await super().write(data[:room])
        self.sent += len(data)
        if len(data) >= room:
            self._close()

    async def _stall_within(self, data):
        before = max(0, self.rule.get("bytes", 0) - self.sent)
        due = self.sent <= self.rule.get("bytes", 0) < self.sent + len(data)
        self.sent += len(data)
        if due:
            await super().write(data[:before])
            await asyncio.sleep(self.rule.get("ms") / 1000)
            data = data[before:]
        await super().write(data)

    async def _frame(self, whole):
        number = self.frames
        self.frames += 1
        kind = self.rule.kind
        if kind == "cut_frame" and number == self.rule.get("frames"):
            await super().write(whole[:self.rule.get("bytes", 0)])
            self._close()
        if kind == "stall" and number == self.rule.get("frames"):
            await asyncio.sleep(self.rule.get("ms") / 1000)
        if kind == "swap" and number == self.rule.get("frame"):
            self.held = whole
            return
        await super().write(whole)
        if kind == "duplicate" and number == self.rule.get("frame"):
            await super().write(whole)
        if self.held:
            held, self.held = self.held, None
            await super().write(held)
        if kind == "cut_frame" and number + 1 == self.rule.get("frames") and not self.rule.get("bytes"):
            self._close()

    def _close(self):
        """Closes after what was sent has left."""
        self.writer.close()
        raise Truncated("cut on purpose")
