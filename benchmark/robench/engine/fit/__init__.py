"""Fits a victim: training loop, poisoning of the data, and checkpoint."""
