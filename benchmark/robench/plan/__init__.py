"""Turns a suite into cells and tables, and finds cells that cannot be measured.

``make_plan`` is the entry point. ``robench run`` and ``robench plan`` use this package.
"""
