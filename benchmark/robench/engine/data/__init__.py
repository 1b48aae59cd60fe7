"""Prepares data: filters, splits, target items, and the titles for models."""
