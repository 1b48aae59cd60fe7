"""Computes every table from plan.json and the arrays of cells. It never imports torch."""
