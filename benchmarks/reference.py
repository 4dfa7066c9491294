"""What the measurements share: a process of its own for each, its memory, and a product of matrices that says how fast the machine was."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from modeling_tacfn.results import environment_record


def run_alone(measure: Callable[..., dict], *arguments) -> dict:
    """Call it in a new process, whose peak memory is that of this measurement alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def environment() -> dict:
    """What a measurement was made with; of files that were given only the names: where they lie is nobody's business."""
    return environment_record([Path(word).name for word in sys.argv])


def reference_matmul_seconds() -> float:
    """The median of five products of two 2048 x 2048 matrices, in seconds."""
    matrix, products = torch.randn(2048, 2048), []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        products.append(time.perf_counter() - started)
    return sorted(products)[2]


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found, parents = [pid], {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    for process in found:
        found += parents.get(process, [])
    return found


def memory_mib(pid: int) -> float:
    """Memory of a process and all that it started; what they share is counted once (PSS)."""
    total = 0
    for process in family(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@contextmanager
def peak_memory(every_seconds: float = 0.1) -> Iterator[list[float]]:
    """A list whose last number is the most memory, in MiB, that this process and all that it started had within the block."""
    peaks, is_over = [memory_mib(os.getpid())], threading.Event()

    def watch() -> None:
        while not is_over.wait(every_seconds):
            peaks.append(max(peaks[-1], memory_mib(os.getpid())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()
