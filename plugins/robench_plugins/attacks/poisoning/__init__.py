"""Attacks that add fake users to the training data."""
