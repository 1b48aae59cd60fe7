"""Finds plugins, and makes classes and instances from the names of their components."""
