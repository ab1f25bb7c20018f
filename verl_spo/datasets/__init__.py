"""Prompt sets in verl's parquet format, from published data sets and from generators of puzzles."""
