"""Reads a suite file: YAML with line numbers, its schema, and its expansion into parts."""
