"""Runs a plan.

The open cells are found, their data is prepared, and workers receive tasks.
"""
