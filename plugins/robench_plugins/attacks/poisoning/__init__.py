"""Attacks on training data: fake users."""
