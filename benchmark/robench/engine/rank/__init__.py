"""Ranks the full catalogue for each evaluated user, with known items masked."""
