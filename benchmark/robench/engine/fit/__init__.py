"""Fits a victim: poisons the data, runs the training loop, stores a checkpoint."""
