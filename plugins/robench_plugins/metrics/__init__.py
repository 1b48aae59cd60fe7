"""Built-in metrics. Their names are registered in ``robench_plugins.registration``."""
