"""Runs the command line for ``python -m robench``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # a torch.py or yaml.py in the current folder would hide the real module

    from robench.cli import main

    main()
