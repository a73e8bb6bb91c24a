"""How far a stream of events has come, and how it goes on after its connection broke.

Knows neither threads nor asyncio: it says what to send and how long to wait, others send and wait.
"""

from __future__ import annotations

import time
from typing import Callable, Union

import grpc

from ._errors import SandkeeperError
from ._retry import spread
from .v1.execution_pb2 import ExecutionEvent
from .v1.sandbox_service_pb2 import AttachExecutionRequest, ExecuteRequest

Request = Union[ExecuteRequest, AttachExecutionRequest]

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0

# What a connection that broke looks like, depending on where it broke, unless the server itself said it.
_BREAKS = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Progress:
    """The place of a reader in the events of one execution."""

    def __init__(
        self, request: Request, patience: float, *, heartbeats: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begins with a request; after a break goes on as long as something comes at least every `patience` seconds."""
        attach = request if isinstance(request, AttachExecutionRequest) else None
        self.execution_id = attach.execution_id if attach else ""
        self.last_sequence = attach.after_sequence if attach else 0
        self.reattachments = -1
        self.finished = False
        self._request = request
        self._patience = patience
        self._heartbeats = heartbeats
        self._clock = clock
        self._delay = _FIRST_DELAY
        self._broken_since: float | None = None
        self._heard = False

    def next_request(self) -> Request:
        """What to send now: the first request, or one that goes on behind the last event."""
        self.reattachments += 1
        self._heard = False
        if not self.execution_id:
            return self._request
        return AttachExecutionRequest(execution_id=self.execution_id, after_sequence=self.last_sequence)

    def take(self, event: ExecutionEvent) -> bool:
        """Notes an event that came, and says whether the reader is to have it."""
        self._heard = True
        self._broken_since = None
        self._delay = _FIRST_DELAY
        if event.HasField("heartbeat"):
            return self._heartbeats
        if event.sequence <= self.last_sequence:
            return False
        if event.sequence != self.last_sequence + 1:
            raise SandkeeperError(
                grpc.StatusCode.DATA_LOSS,
                f"Event {event.sequence} came behind event {self.last_sequence}.",
            )
        self.last_sequence = event.sequence
        self.finished = event.HasField("finished")
        if event.HasField("started"):
            self.execution_id = event.started.execution_id
        return True

    def ended(self) -> SandkeeperError | None:
        """What it means that the server ended the stream without an error and without the last event.

        None: the reader had asked for what comes behind the last event. Otherwise the break to go on after.
        """
        if self._heard or not self.execution_id:
            return SandkeeperError(grpc.StatusCode.UNAVAILABLE, "The stream ended before the execution did.")
        if self.reattachments == 0:
            return None
        raise SandkeeperError(
            grpc.StatusCode.DATA_LOSS, "The events ended before the execution did; GetExecution says what became of it."
        )

    def delay_after(self, error: SandkeeperError) -> float:
        """How many seconds to wait before going on; raises the error when there is no going on."""
        broken = error.code is grpc.StatusCode.UNAVAILABLE or (error.code in _BREAKS and not error.reason)
        now = self._clock()
        if self._broken_since is None:
            self._broken_since = now
        left = self._broken_since + self._patience - now
        if not broken or left <= 0:
            raise error
        delay = max(spread(self._delay), error.retry_delay or 0.0)
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        return min(delay, left)
