"""What being group-free is worth in time, simulated: `python -m benchmarks.throughput`."""
