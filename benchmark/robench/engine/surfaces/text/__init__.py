"""The surface ``text``: titles of items are rewritten in the same way for all users."""
