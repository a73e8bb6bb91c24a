"""Streams go on after every kind of break, and deliver every event once."""

from __future__ import annotations

import itertools
import random
from typing import Any

import grpc
import pytest
from servers import (
    EXECUTION,
    SANDBOX,
    FakeServer,
    Refusal,
    Step,
    cutting,
    finished,
    heartbeat,
    started,
    stdout,
    whole,
)
from waiting import events_of

from sandkeeper import SandkeeperError
from sandkeeper.v1.sandbox_service_pb2 import AttachExecutionRequest, ExecuteRequest

COUNT = 6

UNAVAILABLE = Refusal(grpc.StatusCode.UNAVAILABLE)
SHUTTING_DOWN = Refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")

BREAKS = [
    UNAVAILABLE,
    SHUTTING_DOWN,
    Refusal(grpc.StatusCode.INTERNAL),
    Refusal(grpc.StatusCode.UNKNOWN),
    Refusal(grpc.StatusCode.CANCELLED),
    None,  # the stream ends as if all were well
]


def sequences(client: Any, stream: Any) -> list[int]:
    return [event.sequence for event in events_of(client, stream)]


@pytest.mark.parametrize("at", range(COUNT))
@pytest.mark.parametrize("kind", BREAKS, ids=lambda kind: f"{kind.code.name}{len(kind.details)}" if kind else "OK")
def test_goes_on_behind_the_last_event(client: Any, fake: FakeServer, at: int, kind: Refusal | None) -> None:
    before: list[Step] = [*whole(COUNT)[:at]]
    fake.scripts = [before + ([kind] if kind else []), whole(COUNT)[at:]]

    stream = client.execute(SANDBOX, shell="true")

    assert sequences(client, stream) == list(range(1, COUNT + 1))
    assert stream.reattachments == 1
    assert stream.execution_id == EXECUTION
    first, second = fake.requests
    if at == 0:
        assert second == first
        assert first.request_id
    else:
        assert second == AttachExecutionRequest(execution_id=EXECUTION, after_sequence=at)


def test_goes_on_as_often_as_it_must(client: Any, fake: FakeServer) -> None:
    for event in whole(COUNT)[:-1]:
        fake.scripts.append([event, UNAVAILABLE])
    fake.scripts.append([finished(COUNT)])

    stream = client.execute(SANDBOX, shell="true")

    assert sequences(client, stream) == list(range(1, COUNT + 1))
    assert stream.reattachments == COUNT - 1


def test_events_that_come_again_are_dropped(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[*whole(COUNT)[:3], UNAVAILABLE], whole(COUNT)]

    assert sequences(client, client.execute(SANDBOX, shell="true")) == list(range(1, COUNT + 1))


def test_a_gap_is_an_error(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[started(), stdout(3)]]

    with pytest.raises(SandkeeperError) as raised:
        sequences(client, client.execute(SANDBOX, shell="true"))

    assert raised.value.code is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_NOT_KEPT"),
        Refusal(grpc.StatusCode.INTERNAL, "INTERNAL"),
        Refusal(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS"),
        Refusal(grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_what_the_server_says_is_final(client: Any, fake: FakeServer, refusal: Refusal) -> None:
    fake.scripts = [[started(), refusal]]

    with pytest.raises(SandkeeperError) as raised:
        sequences(client, client.execute(SANDBOX, shell="true"))

    assert raised.value.code is refusal.code
    assert len(fake.requests) == 1


def test_gives_up_when_nothing_comes(connect: Any, port: int, fake: FakeServer) -> None:
    fake.scripts = [[started(), UNAVAILABLE], *([SHUTTING_DOWN] for _ in range(50))]

    with pytest.raises(SandkeeperError) as raised:
        client = connect(port, reattach_timeout=0.5)
        sequences(client, client.execute(SANDBOX, shell="true"))

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert raised.value.reason == "SHUTTING_DOWN"
    # 100 ms, 200 ms, the rest: each at least half of it.
    assert 3 <= len(fake.requests) <= 8


def test_does_not_go_on_when_told_not_to(connect: Any, port: int, fake: FakeServer) -> None:
    fake.scripts = [[started(), UNAVAILABLE]]
    client = connect(port, reattach_timeout=0)

    with pytest.raises(SandkeeperError):
        sequences(client, client.execute(SANDBOX, shell="true"))

    assert len(fake.requests) == 1


def test_nothing_behind_the_last_event(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[]]

    assert sequences(client, client.attach(EXECUTION, 6)) == []


def test_an_execution_whose_end_is_not_kept(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[started(), UNAVAILABLE], []]

    with pytest.raises(SandkeeperError) as raised:
        sequences(client, client.execute(SANDBOX, shell="true"))

    assert raised.value.code is grpc.StatusCode.DATA_LOSS


def test_heartbeats_are_shown_to_those_who_ask(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[started(), heartbeat(), finished(2)], [started(), heartbeat(), finished(2)]]

    assert sequences(client, client.execute(SANDBOX, shell="true")) == [1, 2]
    assert sequences(client, client.execute(SANDBOX, shell="true", heartbeats=True)) == [1, 0, 2]


def test_the_same_request_id_when_one_is_given(client: Any, fake: FakeServer) -> None:
    fake.scripts = [[finished(1)]]

    sequences(client, client.execute(SANDBOX, argv=["a", "b"], request_id="r", deadline=1.5, environment={"A": "b"}))

    expected = ExecuteRequest(sandbox_id=SANDBOX, request_id="r", environment={"A": "b"})
    expected.command.argv.extend(["a", "b"])
    expected.deadline.FromMilliseconds(1500)
    assert fake.requests == [expected]
    assert fake.keys == ["Bearer sk_test"]


@pytest.mark.parametrize("seed", range(4))
def test_connections_cut_anywhere(connect: Any, port: int, fake: FakeServer, seed: int) -> None:
    """Cut in the middle of frames and messages, after anything from the first byte to all of it."""
    chance = random.Random(seed)
    events = [started(), *(stdout(sequence, chance.randbytes(997)) for sequence in range(2, 40)), finished(40)]

    class Journal(list[Any]):
        def pop(self, _: Any = 0) -> Any:
            request = fake.requests[-1]
            return events[getattr(request, "after_sequence", 0) :]

    fake.scripts = Journal()
    limits = itertools.chain((chance.randrange(1, 8000) for _ in range(30)), itertools.repeat(1 << 40))
    with cutting(port, limits) as cut_port:
        client = connect(cut_port)
        stream = client.execute(SANDBOX, shell="true")
        got = events_of(client, stream)

    assert got == events
    assert stream.reattachments > 3
    assert len({request.request_id for request in fake.requests if isinstance(request, ExecuteRequest)}) == 1
