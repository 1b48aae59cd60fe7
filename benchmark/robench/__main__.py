"""Runs the command line for ``python -m robench``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, whose torch.py or yaml.py may be anything

    from robench.cli import main

    main()
