"""The base of all conformance classes. Each kind of plugin has its own module."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

Settings = Mapping[str, Any]


class Conformance:
    """Tests that a plugin class must pass.

    A subclass names the plugin. The ``settings`` are passed to the plugin's ``make``. Choose settings that make the
    plugin small and fast.
    """

    settings: ClassVar[Settings] = {}

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Gives torch one thread, as in a suite.

        Executors and metrics are tested without torch. In worlds of this size, additional threads would only wait for
        each other.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
