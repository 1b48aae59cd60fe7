"""The surface ``history``: each user's list of interactions is edited."""
