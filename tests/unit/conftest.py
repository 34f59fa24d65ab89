"""Property tests on a machine that others share: no deadline per example, and slow generation is no fault."""

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
