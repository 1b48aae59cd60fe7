"""Built-in defences."""
