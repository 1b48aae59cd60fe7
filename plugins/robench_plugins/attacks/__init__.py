"""The built-in attacks, with one package per kind of surface."""
