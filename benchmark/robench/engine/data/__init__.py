"""Prepares a raw log: filters, splits, target items and titles as models read them."""
