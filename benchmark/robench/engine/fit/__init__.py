"""Fits victims: poisons the data, runs the training loop, and stores checkpoints."""
