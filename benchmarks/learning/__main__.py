"""`python -m benchmarks.learning`: see `main`."""

from benchmarks.learning.main import main

main()
