"""Membership: whether a user is in the training data of a victim."""
