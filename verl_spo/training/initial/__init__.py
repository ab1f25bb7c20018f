"""Where the value tracker starts."""
