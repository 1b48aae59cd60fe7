"""Pretrained encoders and decoders for plugins, and a cache for what is expensive to compute."""
