"""The undefended case."""

from __future__ import annotations

from robench.api import Defense


class NoDefense(Defense):
    """Changes nothing. The model is the undefended twin of every defence."""
