"""Runs the plan of a suite.

The package finds the cells that are still open, prepares their data, and sends tasks to workers.
"""
