# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Many methods under one protocol: trainings side by side, then one results file, one table and one picture."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from tqdm.auto import tqdm

from .adaptation_curve import adaptation_scores, adaptation_table
from .comparison_plots import plot_adaptation, plot_comparison, plot_missing
from .configuration_tacfn import TacfnConfig
from .experiment import ARGUMENTS, RUN_RESULTS, load_inputs, make_splits
from .files import atomic_path
from .missing import SOUND, missing_scores, missing_table
from .rescoring import inputs_of, load_network, run_folders
from .results import load_results, overview, results_latex, results_table, save_json_atomic
from .tasks import EmotionTask
from .train_options import parse_arguments


BASELINES = (
    "averaging",
    "multiplication",
    "multiplicative",
    "concatenation",
    "mcbp",
    "mmtm",
    "msaf",
    "mult",
    "cfn_sr",
)
METHODS = ("audio_only", "video_only", *BASELINES, "tacfn")
ABLATIONS = {
    "tacfn_no_selection": {"num_hidden_layers": 0},
    "tacfn_no_weight": {"reinforced": []},
    "tacfn_no_residual": {"weight_residual": False},
    "tacfn_last_step": {"selection_pooling": "last"},
    "tacfn_mean_pooling": {"selection_pooling": "mean"},
    "tacfn_softmax": {"weight_scale": "softmax"},
    "tacfn_mean_one": {"weight_scale": "mean_one"},
}
TIMED_CALLS = 20
TRAIN = (sys.executable, "-m", "modeling_tacfn.experiment")


@dataclass
class Job:
    """One method under one protocol: a `train.py` run over folds and seeds."""

    name: str
    protocol: str
    folder: Path
    options: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")


def default_methods(model: dict) -> list[str]:
    """All methods that are defined for these fields of TACFN's configuration: CFN-SR's block needs a video map."""
    return [name for name in METHODS if not (model.get("feature_sizes") and name == "cfn_sr")]


def ablations(model: dict) -> dict[str, dict]:
    """
    TACFN with one thing taken away or changed: the fields that differ, by name.

    Args:
        model (`dict`): fields of TACFN's configuration, from the file; an ablation that says what they say is no change, and
            left out.

    Raises:
        ValueError: the fields do not go together.
    """
    sound, face = _sound_and_face(model)
    directions = {"sound": sound, "face": face, "both": sound + face}
    changes = ABLATIONS | {f"tacfn_reinforce_{name}": {"reinforced": given} for name, given in directions.items()}
    try:
        config = TacfnConfig(**model)
    except StrictDataclassError as error:
        raise ValueError(
            f"expected `model` of the file to be fields of TacfnConfig that go together. {error.__cause__}"
        ) from error
    return {
        name: fields
        for name, fields in changes.items()
        if any(_comparable(getattr(config, field)) != _comparable(value) for field, value in fields.items())
    }


def _comparable(value):
    return set(value) if isinstance(value, list | tuple) else value


def _sound_and_face(model: dict) -> tuple[list[str], list[str]]:
    inputs = list(model.get("feature_sizes") or ("audio", "video"))
    return [name for name in inputs if name in SOUND], [name for name in inputs if name not in SOUND]


def method_options(method: str, model: dict) -> list[str]:
    """
    What `train.py` needs for a method beside the configuration that all methods share.

    Args:
        method (`str`): one of `METHODS` or of [`ablations`].
        model (`dict`): fields of TACFN's configuration, from the file.

    Returns:
        `list[str]`: options.

    Raises:
        ValueError: there is no such method, or it would be TACFN as it is.
    """
    sound, face = _sound_and_face(model)
    if method == "tacfn":
        return []
    if method in ("audio_only", "video_only"):
        return ["--modalities", *(sound if method == "audio_only" else face)]
    if method in BASELINES:
        return ["--network", "tacfn_baseline", "--model", json.dumps({"fusion": method})]
    changes = ablations(model)
    if method not in changes:
        raise ValueError(
            f"expected methods out of {', '.join((*METHODS, *changes))}, got {method!r}; an ablation that changes nothing in "
            "the given configuration is not among them."
        )
    return ["--model", json.dumps(changes[method])]


def plan(
    methods: list[str],
    protocols: list[str],
    folds: list[int] | None,
    seeds: list[int],
    shared: list[str],
    output: Path,
) -> list[Job]:
    """
    The trainings of the grid.

    Args:
        methods (`list[str]`), protocols (`list[str]`): every method is trained under every protocol.
        folds (`list[int]`, *optional*): folds that are tested; all of them if not given.
        seeds (`list[int]`): every fold is trained with each.
        shared (`list[str]`): options of `train.py` that hold for all methods, such as `--config FILE`.
        output (`Path`): each job gets a folder in it.

    Raises:
        ValueError: there is no such method.
    """
    tested = ["--all_folds"] if folds is None else ["--fold", *map(str, folds)]
    grid = ["--seeds", *map(str, seeds), *tested, "--report_to", "none"]
    jobs, model = [], parse_arguments(shared).model
    for protocol in protocols:
        for method in methods:
            folder = output / f"{method}_{protocol}"
            own = ["--name", method, "--protocol", protocol, "--output_dir", str(folder)]
            own += method_options(method, model)
            jobs.append(Job(method, protocol, folder, [*shared, *own, *grid]))
    return jobs


def run_jobs(jobs: list[Job], num_jobs: int, runs_per_job: int) -> list[Job]:
    """
    Train all jobs, `num_jobs` at a time, with a bar over the whole grid; what is finished is not done again.

    Each job is a process of its own with its share of the cores: small networks gain more from that than from threads.

    Returns:
        `list[Job]`: those that failed; their log says why.
    """
    threads = max(1, (os.cpu_count() or 1) // num_jobs)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    processes: dict[str, subprocess.Popen] = {}

    def train(job: Job) -> int:
        resume = ["--resume"] if (job.folder / ARGUMENTS).exists() else []
        job.folder.mkdir(parents=True, exist_ok=True)
        command = [*TRAIN, *job.options, *resume]
        with job.log.open("w", encoding="utf-8") as log:
            process = processes[str(job.folder)] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            return process.wait()

    failed = []
    with (
        _progress(jobs, runs_per_job * len(jobs)) as bar,
        ThreadPoolExecutor(num_jobs) as pool,
        _stopping(processes, pool),
    ):
        # A method of one modality, the first in the table, is the quickest to train: last, it leaves no core idle for long.
        futures = {pool.submit(train, job): job for job in reversed(jobs)}
        for future in as_completed(futures):
            job = futures[future]
            if future.result():
                failed.append(job)
                bar.write(f"{job.name} ({job.protocol}) failed: {_last_line(job.log)} See {job.log}.")
    return failed


@contextlib.contextmanager
def _stopping(processes: dict[str, subprocess.Popen], pool: ThreadPoolExecutor):
    """An interrupt of the grid ends the trainings too; what they had finished is kept."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(processes.values()):
            process.terminate()
        raise


@contextlib.contextmanager
def _progress(jobs: list[Job], total: int):
    """A bar over all trainings of the grid, fed by the results files that appear."""
    done = threading.Event()
    bar = tqdm(total=total, desc="Comparison", unit="training")

    def watch():
        while not done.wait(1):
            bar.update(finished_runs(jobs) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield bar
    finally:
        done.set()
        watcher.join()
        bar.update(finished_runs(jobs) - bar.n)
        bar.close()


def finished_runs(jobs: list[Job]) -> int:
    """How many trainings of the jobs have their results."""
    counts = [len(list(job.folder.glob(f"fold_*_seed_*/{RUN_RESULTS}"))) for job in jobs]
    # A job of one training has no sub-folders.
    return sum(count or (job.folder / RUN_RESULTS).exists() for count, job in zip(counts, jobs, strict=True))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message."


@torch.inference_mode()
def seconds_per_clip(folder: Path, inputs: tuple) -> float:
    """Median time of one clip through a trained network, alone, after its inputs are ready; in s."""
    _, clips, processor = inputs
    model = load_network(folder)
    given = inputs_of(clips[:1], model, processor.image_processor)
    times = []
    for _ in range(TIMED_CALLS + 1):
        started = time.perf_counter()
        model(**given)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def write_comparison(
    jobs: list[Job],
    output: Path,
    reference: str = "tacfn",
    with_missing: bool = False,
    with_adaptation: bool = False,
) -> dict:
    """
    Put the finished jobs together: `results.json`, `table.md`, `table.tex` and `comparison.png` in `output`.

    Every method is compared with `reference` by a paired test over speakers. `with_missing` scores every network again with
    inputs missing, noisy or full of gaps, and adds `missing.md` and `missing.png`. `with_adaptation` scores those of the
    speaker-normalised protocol again with few clips of a speaker known, and adds `adaptation.md` and `adaptation.png`.
    """
    measured = []
    for job in jobs:
        if not (job.folder / RUN_RESULTS).exists():
            continue
        results, arguments = load_results(job.folder / RUN_RESULTS), parse_arguments(job.options)
        inputs = load_inputs(arguments)
        more = {"seconds_per_clip": seconds_per_clip(run_folders(job.folder, results["runs"])[0], inputs)}
        if with_missing:
            more["missing"] = missing_scores(results, job.folder, inputs, arguments)
        if with_adaptation and job.protocol == "speaker-normalised":
            more["adaptation"] = adaptation_scores(results, job.folder, inputs)
        measured.append(results | more)
    results = overview(measured, reference=reference)
    save_json_atomic(output / RUN_RESULTS, results)
    texts = {"table.md": results_table(results["results"]), "table.tex": results_latex(results["results"])}
    if with_missing:
        texts["missing.md"] = missing_table(results["results"])
        plot_missing(results["results"], output / "missing.png")
    if adapted := [item for item in results["results"] if "adaptation" in item]:
        texts["adaptation.md"] = adaptation_table(adapted)
        plot_adaptation(adapted, output / "adaptation.png")
    for name, text in texts.items():
        with atomic_path(output / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    plot_comparison(results["results"], output / "comparison.png")
    return results


def compare(
    shared: list[str],
    output: Path,
    methods: list[str] | None = None,
    protocols: list[str] | None = None,
    folds: list[int] | None = None,
    seeds: list[int] | None = None,
    num_jobs: int = 2,
    with_missing: bool = False,
    with_adaptation: bool = False,
    with_ablations: bool = False,
) -> tuple[dict, list[Job]]:
    """
    Train methods under one protocol each and put them side by side; interrupted, the same call goes on.

    Args:
        shared (`list[str]`): options of `train.py` that hold for all methods, such as `["--config", FILE]`.
        output (`Path`): one folder per method and protocol, and the files of [`write_comparison`].
        methods (`list[str]`, *optional*): all of `METHODS` that the network's form allows if not given; with ablations,
            TACFN alone.
        protocols (`list[str]`, *optional*): `["plain"]` if not given.
        folds (`list[int]`, *optional*): all if not given.
        seeds (`list[int]`, *optional*): 0, 1 and 2 if not given.
        num_jobs (`int`, *optional*, defaults to 2): trainings at the same time.
        with_missing, with_adaptation (`bool`, *optional*, default to `False`): as in [`write_comparison`].
        with_ablations (`bool`, *optional*, defaults to `False`): also TACFN with one thing taken away or changed ([`ablations`]).

    Returns:
        `tuple`: what `results.json` holds, and the jobs that failed.

    Raises:
        ValueError: there is no such method, or no job could be finished.
    """
    seeds = seeds or [0, 1, 2]
    model = parse_arguments(shared).model
    if with_ablations:
        methods = [*(methods or ["tacfn"]), *ablations(model)]
    methods = list(dict.fromkeys(methods or default_methods(model)))
    jobs = plan(methods, protocols or ["plain"], folds, seeds, shared, output)
    # Prepared once here, not by every job at its start; and a mistake in the options is said before anything is trained.
    arguments = parse_arguments(jobs[0].options)
    if (with_missing or with_adaptation) and arguments.task != EmotionTask.name:
        raise ValueError(
            f"Expected the task emotion to score with less, received {arguments.task}; leave the option out."
        )
    corpus, _, _ = load_inputs(arguments)
    num_folds = len(folds) if folds else len(make_splits(corpus, arguments)) // len(seeds)
    failed = run_jobs(jobs, num_jobs, num_folds * len(seeds))
    if len(failed) == len(jobs):
        raise ValueError(
            f"expected at least one method to be trained, but all failed; the first: see {failed[0].log}."
        )
    results = write_comparison(jobs, output, with_missing=with_missing, with_adaptation=with_adaptation)
    return results, failed
