"""TODO-DOC."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from robench.api.data import Dataset


class DatasetTests:
    """Subclass with ``dataset = Mine`` and the settings of a small one."""

    dataset: ClassVar[type[Dataset]]
    settings: ClassVar[dict[str, Any]] = {}

    def made(self) -> Dataset:
        made: Dataset = self.dataset.make(**self.settings)
        return made

    def test_rows_belong_together(self) -> None:
        ratings = self.made().load()
        assert len(ratings.users) == len(ratings.items) > 0
        assert ratings.times is None or ratings.times.dtype == np.int64

    def test_loading_twice_gives_the_same(self) -> None:
        one, two = self.made().load(), self.made().load()
        np.testing.assert_array_equal(one.users, two.users)
        np.testing.assert_array_equal(one.items, two.items)
        assert self.made().fingerprint() == self.made().fingerprint()

    def test_it_names_its_licence_and_source(self) -> None:
        assert self.dataset.licence
        assert self.dataset.source
