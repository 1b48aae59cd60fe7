"""The surface ``parameters``, on which attacks perturb the embedding tables.

One perturbation serves all users.

The defence APR trains on perturbations of this kind, and the attack MSAP makes them.
"""
