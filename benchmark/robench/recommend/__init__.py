"""Makes the lists that fitted victims recommend to users.

The command ``robench recommend`` uses this package.
"""
