"""Finds plugins and maps the names of components to classes and instances."""
