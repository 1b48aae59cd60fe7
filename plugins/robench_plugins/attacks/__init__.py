"""The built-in attacks, with one package for each kind of attack."""
