"""`python -m benchmarks.recipes`: see `main`."""

from benchmarks.recipes.main import main

main()
