"""The absence of a defence."""

from __future__ import annotations

from robench.api import Defense


class NoDefense(Defense):
    """Changes nothing, so the victim is the undefended twin of defended victims."""
