"""The surface ``parameters``, on which one δ on the tables serves all users.

The defence APR trains on perturbations of this kind, and the attack MSAP makes them.
"""
