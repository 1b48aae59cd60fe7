"""Runs a task in a separate process, for executors.

``launch.py`` and ``process.py`` belong to the executor's process. On Linux a fork server (``server.py``) forks a keeper
per task (``keeper.py``), and the keeper forks the worker (``worker.py``). The keeper enforces the limits, and ends the
worker with all its descendants. On other systems workers are spawned (``spawned.py``).
"""
