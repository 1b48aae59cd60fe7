"""Prepares data, fits victims, attacks them, and ranks the catalogue for each user."""
