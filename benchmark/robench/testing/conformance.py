"""The base of all conformance classes; there is one module per kind of plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

Settings = Mapping[str, Any]


class Conformance:
    """Tests that one plugin class must pass; a subclass names the plugin.

    ``settings`` go to the plugin's ``make``: they make it small and fast.
    """

    settings: ClassVar[Settings] = {}

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Gives torch one thread, as the victims of a suite have; executors and metrics are tested without torch.

        In worlds of this size further threads only wait for each other.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
