"""Messages between the processes of a task.

A message consists of a marker, a length and pickled plain data.

What a worker sends is read piece by piece and never trusted. A message is refused if it names a class or function
outside a short list: numpy's arrays and a few built-in types.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any

MAGIC = b"robench\n"
HEADER = struct.Struct("!8sQ")
MIB = 1 << 20
LARGEST = 1024 * MIB  # the largest size of a message in bytes, if the reader knows no better bound
PIECE = 1 << 20  # the number of bytes that are read at once
PIECES = 64  # the number of pieces that are read before another process has its turn
MODULES = frozenset(
    f"numpy.{core}.{name}" for core in ("core", "_core") for name in ("multiarray", "numeric")
)  # the modules that rebuild numpy's arrays and scalars
PLAIN = frozenset(
    [("numpy", "ndarray"), ("numpy", "dtype")]
    + [(module, name) for module in MODULES for name in ("_reconstruct", "scalar", "_frombuffer")]
    + [("builtins", name) for name in ("set", "frozenset", "complex", "bytearray")]
)


class RefusedError(Exception):
    """Raised for messages that are too large, unsafe or unreadable."""


def to_frame(message: object) -> bytes:
    """Returns a message as bytes."""
    content = pickle.dumps(message, protocol=5)
    return HEADER.pack(MAGIC, len(content)) + content


def from_frame(frame: bytes) -> Any:
    """Returns the message in one complete frame.

    Raises:
        RefusedError: if the message is not plain data, or cannot be read.
    """
    return _from_bytes(frame[HEADER.size :])


class Frames:
    """The messages that arrive on a socket.

    Reading never waits.

    Args:
        connection: the socket, which the method ``close`` closes.
        largest: the maximum size of a message in bytes. A larger message is refused before it is read.

    Attributes:
        open: False if no more messages can arrive, because one of the sides has closed the connection.
        fresh: True if the last read received data.
    """

    def __init__(self, connection: socket.socket, largest: int = LARGEST) -> None:
        self.connection, self.open, self.fresh = connection, True, False
        self._largest = largest
        connection.setblocking(False)
        self._buffer = bytearray()

    def read(self) -> Iterator[Any]:
        """Yields the messages that have arrived completely.

        Raises:
            RefusedError: if bytes are not a message, or if a message is too large, unreadable or not plain data.
        """
        self.fresh = False
        for _ in range(PIECES):
            try:
                piece = self.connection.recv(PIECE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                piece = b""
            if not piece:
                self.open = False
                break
            self._buffer += piece
            self.fresh = True
        yield from self._whole()

    def _whole(self) -> Iterator[Any]:
        while len(self._buffer) >= HEADER.size:
            magic, length = HEADER.unpack_from(self._buffer)
            if magic != MAGIC:
                raise RefusedError("it wrote bytes to its pipe that are not a message")
            if length > self._largest:
                most = f"{self._largest / MIB:.0f} MiB, the most that an event of its task can have"
                raise RefusedError(f"it sent a message of {length / MIB:.0f} MiB, more than {most}")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            content = bytes(memoryview(self._buffer)[HEADER.size : end])
            del self._buffer[:end]
            yield _from_bytes(content)

    def close(self) -> None:
        """Closes the connection."""
        self.open = False
        self.connection.close()


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler of plain data and numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns a class or function on the list ``PLAIN``.

        Raises:
            RefusedError: if the class or function is not on the list.
        """
        if (module, name) not in PLAIN:
            raise RefusedError(f"it sent a {module}.{name}, which is not plain data")
        return super().find_class(module, name)


def _from_bytes(content: bytes) -> Any:
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except RefusedError:
        raise
    except Exception as error:  # the bytes of a plugin may cause any exception
        raise RefusedError(f"it sent a message that cannot be read ({type(error).__name__})") from error
