"""Single-stream Policy Optimization (SPO) for verl, and for loops of one's own."""

from verl_spo.config import SPOConfig
from verl_spo.core.spo import SPO

__all__ = ["SPO", "SPOConfig", "__version__"]

__version__ = "0.1.0"
