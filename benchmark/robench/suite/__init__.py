"""Reads a suite file and reports every mistake with its line."""
