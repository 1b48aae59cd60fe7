"""Built-in attacks, a package per surface."""
