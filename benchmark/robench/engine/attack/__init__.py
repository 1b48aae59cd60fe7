"""Code for attacks on all surfaces: goals, arenas, judgements and searches."""
