"""The surface ``embedding``, on which attacks perturb each user's inputs."""
