"""The surface ``history``: edits of every user's list of interactions."""
