"""The code that all surfaces share: goals, arenas, judgements and searches."""
