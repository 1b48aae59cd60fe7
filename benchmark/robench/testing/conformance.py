"""The base class of all conformance classes.

Each kind of component has a module of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

Settings = Mapping[str, Any]


class Conformance:
    """Tests that a component must pass.

    A subclass names the class of the component. ``settings`` are passed to the method ``make`` of the component, and
    should make it small and fast.
    """

    settings: ClassVar[Settings] = {}

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Gives torch one thread, which is also the default of a suite.

        If torch is not imported, nothing happens. The test worlds are so small that additional threads would only wait
        for each other.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
