"""The surface ``parameters``: one δ on the embedding tables, shared by all users (the setting of APR and MSAP)."""
