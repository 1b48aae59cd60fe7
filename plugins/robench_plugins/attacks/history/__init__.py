"""Attacks that edit the histories of users at test time."""
