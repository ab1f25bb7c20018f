"""Bytes: of a number in either precision, and of a GiB."""

BF16 = 2
FP32 = 4
GIB = 2**30
