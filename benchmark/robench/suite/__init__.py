"""Reads a suite file and reports every mistake together with its line."""
