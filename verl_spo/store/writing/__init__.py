"""Records on their way into the tables, off the training step's critical path."""
