"""Where uploads come from and downloads go to."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Union

import grpc

from ._errors import SandkeeperError
from .v1.file_service_pb2 import WriteFileRequest, WriteFileResponse, WriteFileTarget

Source = Union[bytes, "os.PathLike[str]"]

_CHUNK = 256 * 1024


class Upload:
    """The messages of one upload, and the check that what arrived is what was sent."""

    def __init__(self, sandbox_id: str, path: str, source: Source) -> None:
        # Opened here and not while sending: what is wrong with it is the caller's to know, not the server's.
        self._file: IO[bytes] = open(source, "rb") if isinstance(source, os.PathLike) else io.BytesIO(source)  # noqa: SIM115
        self._sha256 = hashlib.sha256()
        self._target = WriteFileTarget(sandbox_id=sandbox_id, path=path)

    def messages(self) -> Iterator[WriteFileRequest]:
        """All messages in their order."""
        # Closed here, where it is read: a refusal ends the call while its messages are still being made.
        with self._file:
            yield WriteFileRequest(target=self._target)
            while data := self._file.read(_CHUNK):
                self._sha256.update(data)
                yield WriteFileRequest(data=data)

    def check(self, response: WriteFileResponse) -> None:
        """Raises unless the server has the same bytes."""
        if response.sha256 != self._sha256.digest():
            raise SandkeeperError(
                grpc.StatusCode.DATA_LOSS,
                f"The file in the sandbox differs from what was sent: its SHA-256 is {response.sha256.hex()} "
                f"(expected: {self._sha256.hexdigest()}).",
            )


@contextmanager
def replacing(path: os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that takes the place of the one at the path once it is whole; a failure leaves nothing behind."""
    folder, name = os.path.split(os.path.abspath(path))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as file:
        try:
            yield file
            file.close()
            os.replace(file.name, path)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise
