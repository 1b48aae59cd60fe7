"""Reads tables from files of many formats."""
