"""Prepares data: filters, splits, promoted items, and titles in the form that models read."""
