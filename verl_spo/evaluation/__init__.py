"""Benchmarks: how samples are judged, what they say of a model, and how sure that is."""
