"""What an attack may touch, one module or folder per surface."""
