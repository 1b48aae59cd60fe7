"""Ranks the full catalogue for each evaluated user, known items masked."""
