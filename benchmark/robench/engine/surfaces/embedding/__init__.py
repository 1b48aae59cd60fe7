"""The surface ``embedding``: one δ per user on the embedded inputs."""
