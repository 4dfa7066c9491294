"""What the measurements share: a process of its own for each, and a product of matrices that says how fast the machine was."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch


def run_alone(measure: Callable[..., dict], *arguments) -> dict:
    """Call it in a new process, whose peak memory is that of this measurement alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def reference_matmul_seconds() -> float:
    """The median of five products of two 2048 x 2048 matrices, in seconds."""
    matrix, products = torch.randn(2048, 2048), []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        products.append(time.perf_counter() - started)
    return sorted(products)[2]
