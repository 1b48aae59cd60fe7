"""Base classes of attacks, one module per surface, with the oracles that they query and the balls that bound them."""
