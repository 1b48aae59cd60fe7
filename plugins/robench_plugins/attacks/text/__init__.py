"""Attacks on titles."""
