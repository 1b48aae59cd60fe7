"""Compares two folders of results, or two rows."""
