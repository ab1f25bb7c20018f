"""`python -m benchmarks.throughput`: see `main`."""

from benchmarks.throughput.main import main

main()
