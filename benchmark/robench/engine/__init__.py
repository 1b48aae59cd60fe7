"""Prepares data, fits and attacks victims, and ranks the full catalogue."""
