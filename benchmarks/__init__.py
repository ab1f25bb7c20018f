"""What is measured: each by `python -m benchmarks.NAME`; rows go to `results/`, figures to `docs/`."""
