"""How fast the dashboard is, in a real browser."""
