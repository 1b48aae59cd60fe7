"""The surface ``parameters``: one δ on the embedding tables for all users.

This is the setting of APR and MSAP.
"""
