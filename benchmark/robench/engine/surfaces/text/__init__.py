"""The surface ``text``: titles of items are rewritten, one rewriting for all users."""
