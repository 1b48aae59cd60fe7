"""Reads tables from files: compression, encodings, separators, and the types of columns."""
