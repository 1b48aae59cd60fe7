"""Computes every table from plan.json and the cells' arrays. Never imports torch."""
