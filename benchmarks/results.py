"""Results: where what was measured is written, and how wide."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE_WIDTH = 160
