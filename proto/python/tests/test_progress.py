"""How long a broken stream waits, and when it gives up."""

from __future__ import annotations

import grpc
import pytest
from servers import heartbeat, started, stdout

from sandkeeper import SandkeeperError
from sandkeeper._progress import Progress
from sandkeeper.v1.execution_pb2 import ExecutionEvent
from sandkeeper.v1.sandbox_service_pb2 import ExecuteRequest

BROKEN = SandkeeperError(grpc.StatusCode.UNAVAILABLE, "broken")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(ExecuteRequest(), 60, heartbeats=False, clock=clock)


def test_delays_double_up_to_five_seconds(progress: Progress) -> None:
    for longest in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        assert longest / 2 <= progress.delay_after(BROKEN) <= longest


@pytest.mark.parametrize("sign", [stdout(2), heartbeat()], ids=["event", "heartbeat"])
def test_whatever_comes_begins_it_all_anew(progress: Progress, clock: Clock, sign: ExecutionEvent) -> None:
    progress.take(started())
    for _ in range(5):
        progress.delay_after(BROKEN)
    clock.now += 59
    progress.take(sign)

    clock.now += 3600
    assert progress.delay_after(BROKEN) <= 0.1
    clock.now += 59
    progress.delay_after(BROKEN)
    clock.now += 1
    with pytest.raises(SandkeeperError):
        progress.delay_after(BROKEN)


def test_the_last_try_is_made_when_the_time_is_over(progress: Progress, clock: Clock) -> None:
    progress.delay_after(BROKEN)
    clock.now += 59.99

    assert progress.delay_after(BROKEN) <= 0.01 + 1e-6


def test_the_server_may_ask_for_more_time(progress: Progress) -> None:
    away = SandkeeperError(grpc.StatusCode.UNAVAILABLE, "away", reason="SHUTTING_DOWN", retry_delay=7)

    assert progress.delay_after(away) == 7
