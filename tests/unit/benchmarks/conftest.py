"""The benchmarks are scripts, not a package: their modules lie beside them."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
# Threads cost such small models more than they bring.
torch.set_num_threads(1)
