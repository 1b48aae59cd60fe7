"""The Python interface: ``robench.run``, ``robench.load``, ``robench.plugins``.

The command line also uses this package.
"""
