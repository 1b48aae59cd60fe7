"""No defence."""

from __future__ import annotations

from robench.api import Defense


class NoDefense(Defense):
    """Changes nothing: the model is the undefended twin of every defence."""
