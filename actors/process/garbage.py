"""How our processes look for garbage: seldom, and never through what is there to stay."""

from __future__ import annotations

import gc

# Objects made and not let go of before the youngest are looked through; 700 by default. As many belong to a dozen
# requests that just wait for their answers, and looking through them again and again took a tenth of a worker's time.
THRESHOLD = 50_000


def spare_what_is_here() -> None:
    """From here on a search is for what is made later. To be called when a process has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
