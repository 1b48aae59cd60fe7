"""A generative recommender that reads and writes codes of items."""
