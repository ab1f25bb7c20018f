"""The benchmarks' models are microscopic."""

import torch

# Threads cost such small models more than they bring.
torch.set_num_threads(1)
