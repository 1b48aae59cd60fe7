"""A pretrained language model as a re-ranker: prompts, likelihoods of titles, and the model itself."""
