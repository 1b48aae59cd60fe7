"""Turns a suite into cells and tables, and says which cells cannot be measured."""
