"""Keeps computed arrays in memory, up to a total size."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from robench.api.data import FloatArray


class Memo:
    """Arrays that were computed before, by a key.

    Once the arrays take more than ``limit`` bytes, all of them are dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._kept: dict[Hashable, FloatArray | None] = {}

    def get(self, key: Hashable, compute: Callable[[], FloatArray | None]) -> FloatArray | None:
        """Returns the kept array of a key, or computes it.

        The returned array is read-only, because several readers share it.
        """
        if key not in self._kept:
            values = compute()
            if values is not None:
                values = values.view()
                values.flags.writeable = False
                self.size += values.nbytes
            if self.size > self.limit:
                self._kept.clear()
                self.size = 0 if values is None else values.nbytes
            self._kept[key] = values
        return self._kept[key]
