"""Runs a script of this folder in the environment of a suite's workers."""

import os
import sys

from robench_plugins.executors.isolation.launch import ALLOCATOR, environment


def enter_worker_environment():
    """Starts the script again, unless it has the workers' settings already.

    The settings are one thread, and those of the memory allocator. Both are read when a process starts.
    """
    if not ALLOCATOR.keys() <= os.environ.keys():
        with environment(1):
            os.execv(sys.executable, [sys.executable, *sys.argv])
