"""The surface ``features``, on which attacks perturb vectors of items.

One perturbation serves all users. TAaMR perturbs vectors in this way, and the defence AMR trains on such perturbations.
"""
