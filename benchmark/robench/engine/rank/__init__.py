"""Ranks the whole catalogue for each evaluated user, with known items masked."""
