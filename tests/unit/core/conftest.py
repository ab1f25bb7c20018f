"""Property tests here neither race a clock nor depend on luck."""

from hypothesis import settings

settings.register_profile("core", deadline=None, derandomize=True)
settings.load_profile("core")
