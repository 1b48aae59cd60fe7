"""Turns failures to write a file into errors with advice for the user.

The causes include full disks, quotas, read-only folders and disk errors.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from robench.api.errors import UserError

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
P = ParamSpec("P")
T = TypeVar("T")


class _HasFolder(Protocol):
    folder: Path


F = TypeVar("F", bound=_HasFolder)


def describe_failure(folder: Path, error: OSError) -> UserError:
    """Returns a ``UserError`` with advice for a failure to write to a results folder."""
    hint = "give another --results"
    if error.errno in FULL:
        hint = "finished cells are kept: make room, and run again to continue"
    elif error.errno not in FORBIDDEN and error.errno is not None:
        hint = "finished cells are kept: look after the disk, or give another --results"
    return UserError(f"cannot be written: {error.strerror or error}", where=str(folder), hint=hint)


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Turns an ``OSError`` from the block into a ``UserError``.

    The message names the folder and says what to do.
    """
    try:
        yield
    except OSError as error:
        raise describe_failure(folder, error) from None


def naming_folder(method: Callable[Concatenate[F, P], T]) -> Callable[Concatenate[F, P], T]:
    """Wraps a method so that an ``OSError`` becomes an error about ``self.folder``."""

    @wraps(method)
    def named(self: F, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with naming(self.folder):
            return method(self, *args, **kwargs)

    return named
