"""The surface ``text``: titles of items are rewritten, the same for all users."""
