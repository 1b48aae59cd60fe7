"""Checks the files and the tables of a folder of results.

A sample of its cells is measured again.
"""
