"""What tests that watch another process at work share."""

import time

#: The size of the large file of the model, in bytes.
BIG = 24 << 20


def until(is_so, process):
    """Waits for something that a process brings about."""
    while not is_so():
        assert process.poll() is None, "the process ended before it did what was waited for"
        time.sleep(0.002)


def wait_for(is_so, seconds=20):
    """Waits for something that a thread brings about."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "what was waited for did not come"
        time.sleep(0.005)
