"""Answers what a fitted victim recommends to a user. ``robench recommend`` uses it."""
