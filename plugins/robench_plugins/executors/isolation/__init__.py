"""Runs a task in a separate process. The executors use it.

``launch.py`` and ``process.py`` work on the side of the executor. On Linux a fork server (``server.py``) forks a keeper
per task (``keeper.py``), and the keeper forks the worker (``worker.py``). The keeper enforces the limits, and ends the
worker with everything that it has started. On other systems workers are spawned (``spawned.py``).
"""
