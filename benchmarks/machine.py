"""Machine: where the figures were taken, without a word that names the machine."""

import os
import platform
from typing import Any

import psutil


def facts() -> dict[str, Any]:
    """Cores, memory, load, system and interpreter."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
