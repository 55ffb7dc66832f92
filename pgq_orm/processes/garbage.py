"""Garbage: how often a worker's process looks for reference cycles.

What the application is made of stays until the process ends; jobs come and go by the thousand, and make no cycles. To
look through all of it again and again takes longer than a short job does.
"""

import gc

YOUNG_OBJECTS = 10_000
"""How many new objects there are before Python looks through them: a pick's jobs, and all that belongs to them."""


def settle() -> None:
    """Leaves alone what there is by now, and looks less often through what comes: once the application is there.

    A threshold of the application's own stays if it is higher, or zero, which means that nothing is looked for.
    """
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if young:
        gc.set_threshold(max(young, YOUNG_OBJECTS), *older)
