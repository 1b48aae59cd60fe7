"""Ranks the full catalogue for each user, with masks."""
