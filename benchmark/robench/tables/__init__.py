"""Computes every table from plan.json, the records and the arrays of cells.

This package never imports torch.
"""
