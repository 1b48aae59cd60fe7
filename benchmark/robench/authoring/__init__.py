"""Writes new plugin packages from templates, for ``robench new-plugin``."""
