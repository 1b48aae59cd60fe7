"""Finds plugins and resolves component names to classes."""
