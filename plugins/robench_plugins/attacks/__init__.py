"""The built-in attacks, with one package per surface."""
