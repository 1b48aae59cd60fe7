"""Attacks on embedded inputs and on embedding tables."""
