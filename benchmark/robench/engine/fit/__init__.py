"""Fits a victim: the training loop, the poisoning of its data, and its checkpoint."""
