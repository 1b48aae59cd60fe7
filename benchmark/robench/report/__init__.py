"""Writes tables for people: CSV, JSON, Markdown, an HTML page and the terminal."""
