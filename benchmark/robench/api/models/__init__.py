"""Base classes of recommenders.

A plain ``Model`` only computes scores. A neural model computes both scores and losses from embedded inputs.
"""
