"""Attacks that rewrite item titles at test time."""
