"""Writes tables as CSV, JSON, Markdown and HTML, and prints them on the terminal."""
