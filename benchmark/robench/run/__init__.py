"""Runs a plan: finds the open cells, prepares their data, and gives tasks to workers."""
