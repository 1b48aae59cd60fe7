"""Turns a suite into cells and tables, and finds cells that cannot be measured.

The entry point is ``make_plan``. ``robench run`` and ``robench plan`` use this package.
"""
