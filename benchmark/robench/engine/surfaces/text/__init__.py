"""The surface ``text``, on which attacks rewrite titles of items for all users."""
