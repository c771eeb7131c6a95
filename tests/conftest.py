"""Settings of all tests: hypothesis without a clock, which a busy machine would trip."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
