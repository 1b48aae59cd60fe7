"""Computes every table from plan.json and the arrays of cells.

This package never imports torch.
"""
