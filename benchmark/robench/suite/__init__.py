"""Reads a suite file and reports every mistake in it with its line."""
