"""The surface ``embedding``: every user has a δ of their own on the embedded inputs."""
