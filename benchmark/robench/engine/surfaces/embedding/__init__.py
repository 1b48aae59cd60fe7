"""The surface ``embedding``, on which each user's inputs get a separate δ."""
