"""What a model's answers to sets of problems are worth: measures of samples, and intervals over problems.

On numpy and scipy alone: no verl, no database, no input or output.
"""
