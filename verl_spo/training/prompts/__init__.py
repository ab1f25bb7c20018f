"""The distinct prompts of a training set: what makes two rows one, and how a table of millions is read."""
