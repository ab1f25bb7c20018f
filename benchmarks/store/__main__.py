"""`python -m benchmarks.store`: see `main`."""

from benchmarks.store.main import main

main()
