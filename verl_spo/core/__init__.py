"""SPO's mathematics on plain numpy arrays: no verl, no torch, no database, no input or output.

A prompt is known here by its *slot*, its index in the pool. Everything that a training step calls costs O(batch),
but for `even` draws.
"""
