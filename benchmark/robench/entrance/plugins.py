"""The installed plugins as a pandas frame, for ``robench.plugins``."""

from __future__ import annotations

import pandas as pd

from robench.host.discovery import Host
from robench.host.registry import Registry


def list_plugins() -> pd.DataFrame:
    """Returns one row per component that a plugin offers.

    The columns ``kind``, ``name`` and ``owner`` have the dtype ``string``.

    No plugin class is imported.
    """
    rows = list(Registry.of(Host.discover()).listing())
    return pd.DataFrame(rows, columns=["kind", "name", "owner"], dtype="string")
