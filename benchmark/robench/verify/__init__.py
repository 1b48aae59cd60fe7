"""Verifies a folder of results.

The package checks the files and the tables, and measures a sample of the cells again. The command ``robench verify``
uses this package.
"""
