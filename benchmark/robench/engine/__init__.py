"""Prepares data, fits victims, attacks victims, and ranks the full catalogue."""
