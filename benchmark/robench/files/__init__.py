"""Reads, writes, locks, downloads and unpacks files.

The package also contains the cache and the digests of source code.
"""
