"""Reads and writes the folder of a suite's results, with its records."""
