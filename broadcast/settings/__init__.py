"""Settings of every process, from `BROADCAST_*`; routes come from a TOML file (see `broadcast.routing`)."""

from broadcast.settings.loading import SECRETS_DIR, STACK_FILE, is_of_stack, load_settings, read_environment
from broadcast.settings.process_settings import DAY_SECONDS, Settings

__all__ = ["DAY_SECONDS", "SECRETS_DIR", "STACK_FILE", "Settings", "is_of_stack", "load_settings", "read_environment"]
