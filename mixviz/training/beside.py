"""A thread that works beside a block of code and ends with it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Do `work` in a thread of its own; at the end of the block its event is set, and it is waited for."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        # An interpreter that ends must not find the thread in the middle of something.
        ended.set()
        thread.join()
