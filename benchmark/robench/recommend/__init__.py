"""Makes the lists that fitted victims recommend to a user. ``robench recommend`` uses it."""
