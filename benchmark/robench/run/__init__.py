"""Runs a plan: what is left to do of it, the data that it needs, and the tasks of the workers."""
