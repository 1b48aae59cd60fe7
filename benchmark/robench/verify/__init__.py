"""Checks a folder of results: its files, its tables, and cells that are measured again."""
