"""Checks the files and the tables of a folder of results.

A sample of the cells is measured again. The command ``robench verify`` uses this package.
"""
