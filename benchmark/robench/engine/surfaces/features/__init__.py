"""The surface ``features``, on which attacks perturb the vectors of items that the data set provides.

One perturbation serves all users. TAaMR perturbs vectors in this way, and the defence AMR trains on such perturbations.
"""
