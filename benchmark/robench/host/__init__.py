"""Finds plugins, and makes classes and instances from component names."""
