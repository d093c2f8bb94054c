"""What tests that watch another process at work share."""

import time

#: The size of the large file of the model, in bytes.
BIG = 24 << 20


def until(is_so, process):
    """Waits for something that a process brings about."""
    while not is_so():
        assert process.poll() is None, "the process ended before it did what was waited for"
        time.sleep(0.002)
