"""Checks of a victim, which run once before the first attack on vectors.

Each module except ``probe`` and ``victim`` measures one property that an honest victim has. The numbers go into the
record. The package ``tables`` compares these numbers with thresholds, so flags can be recomputed from the record.
"""
