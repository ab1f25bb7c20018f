"""The benchmarks are scripts, not a package: their modules lie beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
