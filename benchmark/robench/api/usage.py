"""Counts the texts and tokens that language models read and write.

Pretrained networks report these counts, and the host stores the counts in records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RECORDERS: ContextVar[tuple[Usage, ...]] = ContextVar("_RECORDERS", default=())


class Usage:
    """The amounts that are counted within one ``record_usage`` block, by name."""

    def __init__(self) -> None:
        self._amounts: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Adds amounts to the amounts of the same names."""
        self._amounts.update(amounts)

    def amounts(self) -> dict[str, int]:
        """Returns every positive amount by name, in alphabetical order."""
        return dict(sorted((+self._amounts).items()))


def count_usage(**amounts: int) -> None:
    """Adds amounts to the usage of the current fit or measurement.

    A plugin with its own network may call this function. A call outside a fit or measurement has no effect. A call in a
    new thread has no effect either, so a plugin with threads must call this function in the thread that called the
    plugin.

    Args:
        amounts: the amount to add to each name. Networks count ``texts`` (encoded), ``tokens`` (read, without padding)
            and ``written`` (generated tokens). Models count ``prompts`` and ``cut`` (prompts that were too long).
            Models also count scored titles as ``answers``, and unusable answers as ``empty``, ``too_long`` or
            ``not_finite``. A model that reads rankings from texts counts ``answers`` per prompt. Unusable ones are
            ``refused`` or ``unreadable``. ``invented``, ``repeated`` and ``missing`` count items in these rankings.
            ``requests`` counts what was sent to a service.
    """
    for usage in _RECORDERS.get():
        usage.add(**amounts)


@contextmanager
def record_usage() -> Iterator[Usage]:
    """Yields an object that collects the amounts counted within the block.

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

    The host disables counting while it compares the meanings of titles.
    """
    token = _RECORDERS.set(())
    try:
        yield
    finally:
        _RECORDERS.reset(token)
