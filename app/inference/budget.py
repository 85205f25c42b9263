"""How many bytes loaded versions may take in one process, unless a setting says so."""

from app.memory import usable_memory
from app.settings import Settings

# The rest is for what an API process needs besides, for workers, the database and the page cache.
_SHARE = 0.25


def model_memory(settings: Settings) -> int:
    """Return the setting, or else a quarter of the memory that this process may use, in bytes."""
    return settings.model_memory or int(_SHARE * usable_memory())
