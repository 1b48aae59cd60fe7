"""Lists the components of the installed plugins in a pandas frame.

The function ``robench.plugins`` is defined here.
"""

from __future__ import annotations

import pandas as pd

from robench.host.discovery import Host
from robench.host.registry import Registry


def list_plugins() -> pd.DataFrame:
    """Returns a frame with one row per component that a plugin offers.

    The columns ``kind``, ``name`` and ``owner`` have the dtype ``string``. Components that plugins register by name are
    not imported.
    """
    rows = list(Registry.of(Host.discover()).listing())
    return pd.DataFrame(rows, columns=["kind", "name", "owner"], dtype="string")
