"""The Python entrance: ``robench.run``, ``robench.load``, ``robench.plugins``.

The command line uses them too.
"""
