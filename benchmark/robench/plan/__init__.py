"""Turns a suite into cells and tables, and finds cells that cannot be measured."""
