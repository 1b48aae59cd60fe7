"""robench: a benchmark suite for the robustness of recommender systems."""

__version__ = "0.1.0"
