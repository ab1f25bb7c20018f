"""How fast the store is, and how large."""
