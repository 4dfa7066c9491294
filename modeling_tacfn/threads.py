# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""How many threads the libraries take in a process that works beside others."""

import contextlib

import torch

from . import media_decode


def take_one_thread() -> None:
    """
    Work with one thread from now on: torch, OpenCV and the decoder of pictures.

    For a process of several that read clips at the same time, each on a processor of its own: with a thread per processor in each of
    them, they would wait for each other.
    """
    torch.set_num_threads(1)
    media_decode.DECODER_THREADS = 1
    close_threads_of_opencv()


def close_threads_of_opencv() -> None:
    """
    End OpenCV's threads and let it have none but the caller's.

    Before a fork: the copy has the list of the threads but not the threads, and would wait for them for ever when told to end them.
    """
    with contextlib.suppress(ImportError):  # what needs it says so
        import cv2

        if cv2.getNumThreads() > 1:
            cv2.setNumThreads(1)


__all__ = ["close_threads_of_opencv", "take_one_thread"]
