"""Counts of the texts and tokens that language models read and write.

Networks report the counts, and the host notes them in the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RECORDERS: ContextVar[tuple[Usage, ...]] = ContextVar("_RECORDERS", default=())


class Usage:
    """The amounts that were counted while one block of the host ran."""

    def __init__(self) -> None:
        self._amounts: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Adds to the amounts of these names."""
        self._amounts.update(amounts)

    def amounts(self) -> dict[str, int]:
        """Returns every positive amount by its name, in alphabetical order."""
        return dict(sorted((+self._amounts).items()))


def count_usage(**amounts: int) -> None:
    """Adds to the usage of the present measurement.

    A plugin with a network of its own may call it. A call outside of a measurement counts nothing. A new thread starts
    outside: a plugin that uses threads calls this function in the thread that called the plugin.

    Args:
        amounts: how much to add per name. Networks count ``texts`` (encoded), ``tokens`` (read, without padding) and
            ``written`` (generated tokens). Models count ``prompts`` and ``cut`` (prompts that were too long). Scored
            titles are ``answers``; of them, ``empty``, ``too_long`` and ``not_finite`` are unusable.
    """
    for usage in _RECORDERS.get():
        usage.add(**amounts)


@contextmanager
def record_usage() -> Iterator[Usage]:
    """Yields the usage that is counted within the block.

    Blocks may be nested: an outer block counts what its inner blocks count.
    """
    usage = Usage()
    token = _RECORDERS.set((*_RECORDERS.get(), usage))
    try:
        yield usage
    finally:
        _RECORDERS.reset(token)


@contextmanager
def ignore_usage() -> Iterator[None]:
    """Counts nothing within the block, such as the host's own comparison of titles."""
    token = _RECORDERS.set(())
    try:
        yield
    finally:
        _RECORDERS.reset(token)
