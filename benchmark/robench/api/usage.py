"""What language models read and answer in this process: counted for the records, so that costs can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_READ: Counter[str] = Counter()


def count_usage(**amounts: int) -> None:
    """Count something; plugins with a network of their own may too.

    Names in use: ``texts`` (encoded), ``tokens`` (that a network read, padding apart), ``written`` (tokens that it
    generated), ``prompts``, of them ``cut`` (for want of room), ``answers`` (titles that were asked for), of them
    unusable ones: ``empty``, ``too_long``, ``not_finite``.
    """
    _READ.update(amounts)


def usage_so_far() -> dict[str, int]:
    """Everything that was counted so far in this process."""
    return dict(_READ)


def usage_since(before: dict[str, int]) -> dict[str, int]:
    """What came after an earlier ``usage_so_far``; names that did not rise are left out."""
    return {name: value - before.get(name, 0) for name, value in sorted(_READ.items()) if value > before.get(name, 0)}


@contextmanager
def uncounted() -> Iterator[None]:
    """What is read within does not count: the host's own looks at titles, say."""
    before = dict(_READ)
    try:
        yield
    finally:
        _READ.clear()
        _READ.update(before)
