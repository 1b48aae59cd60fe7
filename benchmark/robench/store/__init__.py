"""Reads and writes the results folder of a suite and the records in this folder."""
