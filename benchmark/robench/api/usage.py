"""Counts of the texts and tokens that language models read and write.

Networks report the counts, and the host stores the counts in the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RECORDERS: ContextVar[tuple[Usage, ...]] = ContextVar("_RECORDERS", default=())


class Usage:
    """The amounts that were counted while one block of the host was running."""

    def __init__(self) -> None:
        self._amounts: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Adds these amounts to the present ones, name by name."""
        self._amounts.update(amounts)

    def amounts(self) -> dict[str, int]:
        """Returns every positive amount by its name, in alphabetical order."""
        return dict(sorted((+self._amounts).items()))


def count_usage(**amounts: int) -> None:
    """Adds to the usage of the present measurement.

    A plugin with its own network may call this function. A call outside a measurement counts nothing. A new thread is
    also outside. A plugin with threads must therefore call this function in the thread that called the plugin.

    Args:
        amounts: how much to add to each name. Networks count ``texts`` (encoded), ``tokens`` (read, without padding)
            and ``written`` (generated tokens). Models count ``prompts`` and ``cut`` (prompts that were too long).
            Scored titles are ``answers``. Unusable answers also count as ``empty``, ``too_long`` or ``not_finite``.
    """
    for usage in _RECORDERS.get():
        usage.add(**amounts)


@contextmanager
def record_usage() -> Iterator[Usage]:
    """Yields the usage that is counted within the block.

    Blocks may be nested. An outer block includes the amounts of its inner blocks.
    """
    usage = Usage()
    token = _RECORDERS.set((*_RECORDERS.get(), usage))
    try:
        yield usage
    finally:
        _RECORDERS.reset(token)


@contextmanager
def ignore_usage() -> Iterator[None]:
    """Disables counting within the block.

    The host disables counting while it compares the meaning of titles.
    """
    token = _RECORDERS.set(())
    try:
        yield
    finally:
        _RECORDERS.reset(token)
