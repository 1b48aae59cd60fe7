"""Ranks the full catalogue for each evaluated user, with the user's known items masked."""
