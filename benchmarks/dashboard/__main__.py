"""`python -m benchmarks.dashboard`: see `main`."""

from benchmarks.dashboard.main import main

main()
