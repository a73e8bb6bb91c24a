"""What the tests share: a server that answers as told, and both clients on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from servers import FakeServer, serving_fake
from waiting import Waiting

from sandkeeper import AsyncClient, Client


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
def port(fake: FakeServer) -> Iterator[int]:
    with serving_fake(fake) as port:
        yield port


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes clients of one of the two kinds, and closes them."""
    clients: list[Any] = []

    def make(port: int, **options: Any) -> Any:
        target = f"127.0.0.1:{port}"
        options = {"plaintext": True, **options}
        if request.param == "threads":
            clients.append(Client(target, "sk_test", **options))
        else:
            clients.append(Waiting(lambda: AsyncClient(target, "sk_test", **options)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Any, port: int) -> Any:
    return connect(port)


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
