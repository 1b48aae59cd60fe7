"""Finds plugins, and turns component names into classes and instances."""
