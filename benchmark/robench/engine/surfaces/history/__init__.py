"""The surface ``history``, on which attacks edit each user's list of items."""
