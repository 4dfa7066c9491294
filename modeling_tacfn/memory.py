# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Memory that a process has freed stays with it, where the C library is glibc."""

import ctypes
import sys


LARGEST_BLOCK_KEPT = 1 << 30  # bytes; the largest activation of a batch of four clips has 0.4 GB
MOST_KEPT = (1 << 31) - 1
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """
    Do not give freed memory back to the system.

    glibc returns every large block when it is freed, and the system hands out each of its pages anew, cleared, when it is asked for
    again: with large activations that takes a fifth of the time of a clip, and more of that of a batch (ours, because it is measured:
    `benchmarks/one_clip.py`). A process that was told this keeps up to 2 GiB that it could have returned. `tacfn predict`,
    `tacfn timeline`, the processes of the preparation and those of the demo tell it themselves; a program of your own may, before it
    loads a network.

    Returns:
        `bool`: whether it took effect; elsewhere than on Linux with glibc nothing happens.

    Example:

    ```python
    >>> from modeling_tacfn.memory import keep_freed_memory

    >>> is_kept = keep_freed_memory()

    ```
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return False
    kept = libc.mallopt(_M_MMAP_THRESHOLD, LARGEST_BLOCK_KEPT), libc.mallopt(_M_TRIM_THRESHOLD, MOST_KEPT)
    return all(kept)


def return_freed_memory() -> bool:
    """
    Give the system back what is freed by now, once; for a process that waits long between its jobs.

    Returns:
        `bool`: whether anything was given back; elsewhere than on Linux with glibc nothing happens.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        return False
    return bool(libc.malloc_trim(0))


__all__ = ["keep_freed_memory", "return_freed_memory"]
