"""The built-in plugins of robench: ordinary plugins that come through the entry-point group ``robench``."""
