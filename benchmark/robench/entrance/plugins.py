"""Lists the components of the installed plugins, on a terminal or in a frame.

The function ``robench.plugins`` is defined here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from robench.host.discovery import Host
from robench.host.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


def list_plugins() -> pd.DataFrame:
    """Returns a frame with one row per component that a plugin offers.

    The columns ``kind``, ``name`` and ``owner`` have the dtype ``string``. A component that is registered as a string
    ``module:Class`` is not imported.
    """
    import pandas as pd  # noqa: PLC0415  # slow to import, and not needed on a terminal

    rows = list(Registry.of(Host.discover()).listing())
    return pd.DataFrame(rows, columns=["kind", "name", "owner"], dtype="string")


def print_plugins(console: Console, *, check: bool) -> bool:
    """Prints every component and returns whether no plugin has a fault.

    Args:
        console: the terminal.
        check: whether to import every component and to show its state. Without this check, a plugin is faulty only if
            it cannot be imported or registers nothing.
    """
    host = Host.discover()
    registry = Registry.of(host)
    table = Table("kind", "name", "owner", *(["state"] if check else []))
    lines = list(registry.check() if check else registry.listing())
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for owner, error in host.broken.items():
        console.print(f"broken plugin {owner}: {error}", style="red", highlight=False)
    for owner in host.idle:
        text = f"plugin {owner} registers nothing: none of its functions is a hook marked @hookimpl"
        console.print(text, style="red", highlight=False)
    return not (host.broken or host.idle or any(line[-1].startswith("error: ") for line in lines))
