"""Packs boards for review and reviews packed boards.

A submission is a packed folder of results with a file that states its licence, contact and claims. The commands
``robench submit`` and ``robench verify --submission`` use this package.
"""
