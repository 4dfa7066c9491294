# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Processes that do the demo's jobs, so that no file can hurt the app: what crashes, hangs or swells is ended and started anew.

A worker holds the networks. It has an address space that cannot grow beyond its bound, and is killed when a job takes too long
or the person who asked has left.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from .demo_jobs import Job, run_job
from .demo_limits import DemoLimits, shown_without_folder
from .feature_tables import forget_tables
from .media import MediaError
from .memory import keep_freed_memory, return_freed_memory
from .notes import told_to
from .prediction import load


EXAMPLES = Path(__file__).parent / "demo_examples"
WARM_UP = EXAMPLES / "neutral.mp4"
START_SECONDS = 1200
WAIT_SECONDS = 300
CRASHED = (
    "This file could not be worked on: decoding it took too much memory, or crashed. Convert it with `ffmpeg -i IN OUT.mp4`, or "
    "give a smaller one."
)


class JobError(ValueError):
    """A job came to nothing; the message is for the person who asked."""


class Workers:
    """
    A fixed number of worker processes.

    Args:
        models (`Mapping[str, str]`): folder or name on the Hub of each network, by the name it is listed under.
        limits ([`DemoLimits`]): what a job may take.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether code that comes with a model may run.
    """

    def __init__(self, models: Mapping[str, str], limits: DemoLimits, trust_remote_code: bool = False):
        self.limits = limits
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._all = [_Worker(dict(models), limits, trust_remote_code) for _ in range(limits.num_workers)]
        for worker in self._all:
            self._idle.put(worker)

    def wait_until_ready(self) -> None:
        """Return when every worker has its networks; raises what went wrong with them."""
        for worker in self._all:
            worker.wait_until_ready()

    def run(self, job: Job) -> Iterator[tuple[str, object]]:
        """
        Do a job in a free worker.

        Args:
            job ([`Job`]): what is asked for.

        Returns:
            `Iterator[tuple[str, object]]`: what [`~demo_jobs.run_job`] gives, and at last `("notes", list[str])`. A worker whose
            job is left before its end is killed.

        Raises:
            JobError: the files cannot be used, the job took too long or too much memory, or no worker became free.
        """
        try:
            worker = self._idle.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise JobError("Too many people are asking at the moment. Try again in a minute.") from None
        is_done = False
        try:
            worker.send(job, self._threads())
            deadline = time.monotonic() + self.limits.job_seconds
            while not is_done:
                kind, value = worker.receive(deadline)
                is_done = kind in ("notes", "error")
                if kind in ("error", "exhausted"):
                    raise JobError(value)
                yield kind, value
        finally:
            if not is_done:
                worker.restart()
            self._idle.put(worker)

    def _threads(self) -> int:
        """The processors, shared out among those who work."""
        working = self.limits.num_workers - self._idle.qsize()
        return max(1, (os.cpu_count() or 1) // max(1, working))

    def close(self) -> None:
        """End all processes."""
        for worker in self._all:
            worker.stop()


class _Worker:
    def __init__(self, models: dict[str, str], limits: DemoLimits, trust_remote_code: bool):
        self._arguments = (models, limits, trust_remote_code)
        self.limits = limits
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        # A forked child of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, os.getpid(), *self._arguments), name="tacfn-demo-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        self._is_ready = False

    def stop(self) -> None:
        with suppress(OSError, AttributeError):
            self._process.kill()
            self._process.join(10)
            self._connection.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def wait_until_ready(self) -> None:
        with self._lock:
            if self._is_ready:
                return
            try:
                has_come = self._connection.poll(START_SECONDS)
                kind, value = self._connection.recv() if has_come else ("error", "the networks took too long to load.")
            except (EOFError, OSError):
                kind, value = "error", "a worker could not be started."
            if kind != "ready":
                raise JobError(value)
            self._is_ready = True

    def send(self, job: Job, num_threads: int) -> None:
        self.wait_until_ready()
        try:
            self._connection.send((job, num_threads))
        except OSError:
            raise JobError(CRASHED) from None

    def receive(self, deadline: float) -> tuple[str, object]:
        try:
            if self._connection.poll(max(deadline - time.monotonic(), 0)):
                return self._connection.recv()
        except (EOFError, OSError):
            raise JobError(CRASHED) from None
        raise JobError(
            f"Stopped after {self.limits.job_seconds:g} s, the most that one job may take here. Give a shorter or smaller file, or "
            "run `tacfn` on your own machine."
        )


def _serve(connection, parent: int, models: dict[str, str], limits: DemoLimits, trust_remote_code: bool) -> None:
    """Load the networks, then do jobs until the app is gone."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // limits.num_workers))
    try:
        loaded = {name: load(folder, trust_remote_code=trust_remote_code) for name, folder in models.items()}
    except (OSError, ValueError) as error:
        connection.send(("error", str(error)))
        return
    for name, parts in loaded.items():
        # The first answer of all takes seconds longer: codecs, face search and threads are loaded with it.
        with suppress(ValueError, OSError, RuntimeError):
            list(run_job(Job("answer", name, media=str(WARM_UP)), *parts, limits))
    _confine(limits)
    connection.send(("ready", None))
    while True:
        while not connection.poll(5):
            if os.getppid() != parent:
                return
        try:
            job, num_threads = connection.recv()
        except (EOFError, OSError):
            return
        torch.set_num_threads(num_threads)
        _do(connection, job, loaded, limits)


def _do(connection, job: Job, loaded: dict, limits: DemoLimits) -> None:
    notes: list[str] = []
    try:
        with told_to(notes.append):
            for event in run_job(job, *loaded[job.model], limits):
                connection.send(event)
    except MediaError as error:
        connection.send(("error", shown_without_folder(str(error), job.files)))
    except Exception as error:
        if isinstance(error, MemoryError) or "alloc" in str(error):
            # What a decoder leaves behind then is not worth to go on with.
            connection.send(
                ("exhausted", "This file takes more memory than one job may have here. Give a smaller one.")
            )
        elif isinstance(error, (ValueError, OSError)):
            connection.send(("error", shown_without_folder(str(error), job.files)))
        else:  # whatever else a strange file brings about; the text of the error may quote the file
            connection.send(("error", f"This file cannot be used ({type(error).__name__}). Give another one."))
    else:
        connection.send(("notes", [shown_without_folder(note, job.files) for note in dict.fromkeys(notes)]))
    finally:
        forget_tables()
        return_freed_memory()


def _confine(limits: DemoLimits) -> None:
    """Bound the memory, leave the processor to the app first, and print nothing: decoders name and quote what they read."""
    os.nice(5) if hasattr(os, "nice") else None
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):  # not Linux: the bound on time is left
        return
    bound = now + int(limits.job_gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


__all__ = ["EXAMPLES", "JobError", "Workers"]
