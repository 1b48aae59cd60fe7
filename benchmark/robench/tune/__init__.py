"""Chooses the settings of models and defences on validation data alone.

The command ``robench tune`` uses this package.
"""
