"""Base classes of recommenders: from a plain model to torch models that share one path from inputs to scores."""
