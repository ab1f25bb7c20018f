"""Runs as a whole: who writes them, and what may be done to them."""
