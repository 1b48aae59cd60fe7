"""Counts of the texts and tokens that language models read and write.

Networks report the counts, and the host stores them in the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RECORDERS: ContextVar[tuple[Usage, ...]] = ContextVar("_RECORDERS", default=())


class Usage:
    """The amounts that were counted within one ``record_usage`` block."""

    def __init__(self) -> None:
        self._amounts: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Adds these amounts to the current amounts, name by name."""
        self._amounts.update(amounts)

    def amounts(self) -> dict[str, int]:
        """Returns every positive amount by its name, in alphabetical order."""
        return dict(sorted((+self._amounts).items()))


def count_usage(**amounts: int) -> None:
    """Adds amounts to the usage of the current measurement.

    A plugin with its own network may call this function. A call outside a measurement has no effect. A new thread is
    outside the measurement, so a plugin with threads must call this function in the thread that called the plugin.

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
