"""What one API process may take of the machine, unless a setting says so."""

import os

from app.memory import usable_memory
from app.settings import Settings

# The rest is for what an API process needs besides, for workers, the database and the page cache.
_SHARE = 0.25


def model_memory(settings: Settings) -> int:
    """Return the setting, or else a quarter of the usable memory, divided among API processes."""
    return settings.model_memory or int(_SHARE * usable_memory()) // settings.api_processes


def inference_threads(settings: Settings) -> int:
    """Return the setting, or else this process's part of the cores."""
    cores = len(os.sched_getaffinity(0))
    return settings.inference_threads or max(1, cores // settings.api_processes)
