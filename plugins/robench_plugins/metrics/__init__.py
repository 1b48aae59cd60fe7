"""Built-in metrics.

``robench_plugins.registration`` registers their names.
"""
