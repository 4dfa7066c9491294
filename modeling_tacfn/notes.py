# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What the libraries warn of, told to whoever asks instead of printed."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def told_to(tell: Callable[[str], None]) -> Iterator[None]:
    """
    Hand over every warning, logged or raised as such, until the block ends.

    Args:
        tell (`Callable`): takes the text of each.
    """
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: tell(record.getMessage())
    # A logger without any handler prints by itself; the root's handler takes the place of that.
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *details, **more: tell(str(message))
            yield
    finally:
        root.removeHandler(handler)


__all__ = ["told_to"]
