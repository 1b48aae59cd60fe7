"""Atomic writing of files, the cache, and digests of source code."""
