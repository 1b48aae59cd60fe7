"""The surface ``text``: titles of items, rewritten in the same way for all users."""
