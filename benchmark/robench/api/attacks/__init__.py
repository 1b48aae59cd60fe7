"""Base classes of attacks.

The modules also hold the oracles that attacks query and the balls that bound perturbations.
"""
