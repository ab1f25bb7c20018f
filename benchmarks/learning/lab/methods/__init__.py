"""The methods that are compared: each chooses prompts, gives advantages, and is told how far the update went."""

from benchmarks.learning.lab.methods.groups import GROUP
from benchmarks.learning.lab.methods.making import make_method
from benchmarks.learning.lab.methods.method import Advantages, Method
from benchmarks.learning.lab.methods.spo import SPOMethod
from benchmarks.learning.lab.methods.variant import Variant

__all__ = ["GROUP", "Advantages", "Method", "SPOMethod", "Variant", "make_method"]
