"""Finds plugins, and turns the names of their components into classes and instances."""
