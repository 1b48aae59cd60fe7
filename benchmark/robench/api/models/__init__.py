"""Base classes of recommenders.

A plain ``Model`` only scores. Every neural model computes its scores and its loss from embedded inputs.
"""
