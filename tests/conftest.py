"""Settings for all tests."""

from hypothesis import settings

# A kernel's first call compiles for seconds; that is no failure.
settings.register_profile("fuse", deadline=None)
settings.load_profile("fuse")
