"""The measurement itself: preparing data, training, ranking, attacking, poisoning."""
