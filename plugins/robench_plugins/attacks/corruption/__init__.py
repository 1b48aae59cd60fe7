"""Attacks that change, drop, add or move interactions of real users."""
