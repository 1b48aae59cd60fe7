"""Prepares data: filters, splits, promoted items, and the titles for models."""
