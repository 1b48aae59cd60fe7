"""Attacks that add a perturbation δ to embedded inputs or to embedding tables."""
