"""Makes the lists that fitted victims recommend to a user.

The command ``robench recommend`` uses this package.
"""
