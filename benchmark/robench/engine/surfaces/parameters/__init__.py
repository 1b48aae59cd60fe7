"""The surface ``parameters``, on which one δ on the tables serves all users.

The defences APR and MSAP train on perturbations of this kind.
"""
