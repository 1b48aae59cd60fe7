"""Attacks on users' histories."""
