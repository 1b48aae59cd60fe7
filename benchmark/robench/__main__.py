"""``python -m robench``."""

from __future__ import annotations

from robench.cli import main

main()
