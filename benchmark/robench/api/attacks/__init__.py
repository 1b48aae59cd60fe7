"""Base classes of attacks, one module per surface.

The modules also hold the oracles that attacks query and the balls that bound perturbations.
"""
