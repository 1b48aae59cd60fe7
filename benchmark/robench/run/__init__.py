"""Runs a plan: prepared data, tasks for workers, and what is left to do."""
