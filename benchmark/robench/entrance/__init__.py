"""The code of ``robench.run``, ``robench.load`` and ``robench.plugins``.

The command line also uses this package.
"""
