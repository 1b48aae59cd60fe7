"""Conformance tests for data sets."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api.dataset import Dataset
from robench.engine.data.columns import check_columns
from robench.testing.conformance import Conformance


class DatasetTests(Conformance):
    """Tests a ``Dataset``, which a subclass sets as ``dataset``.

    ``settings`` should give a small data set.
    """

    dataset: ClassVar[type[Dataset]]

    def make(self) -> Dataset:
        dataset: Dataset = self.dataset.make(**self.settings)
        return dataset

    def test_rows_belong_together(self) -> None:
        ratings = self.make().load()
        check_columns(ratings)
        assert ratings.times is None or ratings.times.dtype == np.int64

    def test_loading_twice_gives_the_same(self) -> None:
        first, second = self.make().load(), self.make().load()
        assert list(first.users.tolist()) == list(second.users.tolist())
        assert list(first.items.tolist()) == list(second.items.tolist())
        assert self.make().fingerprint() == self.make().fingerprint()

    def test_it_names_its_licence_and_source(self) -> None:
        assert self.dataset.licence
        assert self.dataset.source
