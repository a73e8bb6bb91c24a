"""Streams that are closed, and readers who stop waiting."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from servers import SANDBOX, FakeServer, Refusal, finished, started, stdout, whole

from sandkeeper import AsyncClient, Client, SandkeeperError


def test_closing_wakes_a_reader(port: int, fake: FakeServer) -> None:
    held = threading.Event()
    fake.scripts = [[started(), held, finished(2)]]
    with Client(f"127.0.0.1:{port}", "sk_test", plaintext=True) as client:
        stream = client.execute(SANDBOX, shell="true")
        assert next(stream).sequence == 1
        closer = threading.Timer(0.1, stream.close)
        closer.start()
        assert list(stream) == []
        closer.join()
        held.set()


def test_closing_wakes_a_reader_between_tries(port: int, fake: FakeServer) -> None:
    fake.scripts = [[started(), Refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_delay=30)]]
    with Client(f"127.0.0.1:{port}", "sk_test", plaintext=True) as client:
        stream = client.execute(SANDBOX, shell="true")
        assert next(stream).sequence == 1
        closer = threading.Timer(0.1, stream.close)
        closer.start()
        assert list(stream) == []
        closer.join()


def test_waiting_hands_on_the_bytes(port: int, fake: FakeServer) -> None:
    fake.scripts = [whole(4)]
    out: list[bytes] = []
    with Client(f"127.0.0.1:{port}", "sk_test", plaintext=True) as client:
        stream = client.execute(SANDBOX, shell="true")
        assert stream.wait(stdout=out.append).exit_code == 0
        assert out == [b"2;", b"3;"]
        with pytest.raises(SandkeeperError):
            stream.wait()


def test_a_task_that_stops_waiting_loses_nothing(port: int, fake: FakeServer) -> None:
    held = threading.Event()
    fake.scripts = [[started(), stdout(2), held], [stdout(3), finished(4)]]

    async def read() -> list[int]:
        async with AsyncClient(f"127.0.0.1:{port}", "sk_test", plaintext=True) as client:
            stream = client.execute(SANDBOX, shell="true")
            got = [(await stream.__anext__()).sequence, (await stream.__anext__()).sequence]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.__anext__(), 0.1)
            held.set()
            return got + [event.sequence async for event in stream]

    assert asyncio.run(read()) == [1, 2, 3, 4]


def test_closing_wakes_a_task(port: int, fake: FakeServer) -> None:
    held = threading.Event()
    fake.scripts = [[started(), held, finished(2)]]

    async def read() -> list[int]:
        async with AsyncClient(f"127.0.0.1:{port}", "sk_test", plaintext=True) as client:
            async with client.execute(SANDBOX, shell="true") as stream:
                asyncio.get_running_loop().call_later(0.1, stream.close)
                got = [event.sequence async for event in stream]
            held.set()
            return got

    assert asyncio.run(read()) == [1]
