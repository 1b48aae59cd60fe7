"""Chooses the settings of models and defences by validation alone.

The command ``robench tune`` uses this package.
"""
