"""When a call is made again. Knows neither threads nor asyncio: it says how long to wait, others wait."""

from __future__ import annotations

import random
import time

import grpc

from ._errors import SandkeeperError

_TRIES = 3
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


def spread(delay: float) -> float:
    """A delay of half to all of this one, so that clients that failed together do not come back together."""
    return delay * random.uniform(0.5, 1.0)


class Retry:
    """The tries of one unary call, which all share its time."""

    def __init__(self, timeout: float, *, safe: bool) -> None:
        """Takes the seconds that all tries may last together, and whether the call may be repeated at all."""
        self._end = time.monotonic() + timeout
        self._tries_left = _TRIES if safe else 1
        self._delay = _FIRST_DELAY

    def time_left(self) -> float:
        """How many seconds the next try may take."""
        return max(0.0, self._end - time.monotonic())

    def delay_after(self, error: SandkeeperError) -> float:
        """How many seconds to wait before the next try; raises the error when there is to be none."""
        self._tries_left -= 1
        delay = spread(self._delay) if error.retry_delay is None else error.retry_delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        # A sandbox that could not be started stays so under its request id.
        hopeless = error.code is not grpc.StatusCode.UNAVAILABLE or error.reason == "ENGINE_UNAVAILABLE"
        if hopeless or self._tries_left == 0 or delay >= self.time_left():
            raise error
        return delay
