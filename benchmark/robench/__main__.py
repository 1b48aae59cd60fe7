"""Runs the command line for ``python -m robench``."""

from __future__ import annotations

from robench.cli import main

if __name__ == "__main__":
    main()
