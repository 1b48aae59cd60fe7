"""No defence."""

from __future__ import annotations

from robench.api import Defense


class NoDefense(Defense):
    """The undefended twin."""
