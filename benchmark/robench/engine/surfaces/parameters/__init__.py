"""The surface ``parameters``: one δ on the embedding tables for all users.

APR and MSAP perturb models in this way.
"""
