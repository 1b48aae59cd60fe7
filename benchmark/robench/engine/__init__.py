"""Prepares data, fits victims, attacks them and ranks their catalogues."""
