"""The Python entrance: ``robench.run``, ``robench.load``, ``robench.plugins``; the command line uses it too."""
