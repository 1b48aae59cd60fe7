"""Starts the command line.

The program ``robench`` and ``python -m robench`` use this module.
"""

from __future__ import annotations

import sys

from robench.entrance.signals import leave_at_once


def main() -> None:
    """Runs the command line.

    An interruption during the imports ends the process with one line.
    """
    leave_at_once()
    from robench.cli import main as run_command  # noqa: PLC0415  # after the signals, because the imports take a second

    run_command()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # a torch.py or yaml.py in the current folder would hide the real module
    main()
