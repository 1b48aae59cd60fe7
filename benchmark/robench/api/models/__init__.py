"""Base classes of recommenders.

A plain ``Model`` fits itself, and computes scores. A ``TorchModel`` computes scores and losses from embedded inputs,
and the host trains it.
"""
