"""Prepares data, fits and attacks victims, and ranks their catalogues."""
