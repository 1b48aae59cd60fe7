"""Prepares data: filters, splits, promoted items, titles as models read them."""
