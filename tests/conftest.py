"""Fixtures that every test may use."""

from hypothesis import settings

pytest_plugins = ["tests.support.databases"]

# Property tests neither race a clock, which a busy machine would win, nor depend on luck.
settings.register_profile("verl-spo", deadline=None, derandomize=True)
settings.load_profile("verl-spo")
