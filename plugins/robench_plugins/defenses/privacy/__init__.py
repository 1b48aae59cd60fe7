"""Defences with a guarantee of differential privacy."""
