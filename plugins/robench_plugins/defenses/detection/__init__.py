"""Defences that detect fake users in the training data, and drop them."""
