# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""`results.json`: the runs, what made them, and the summary made from them.

Every number in a README or a model card comes from such a file.
"""

import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .aggregation import counts_by_speaker, paired_test, summarize
from .files import save_json_atomic
from .tasks import TASKS, EmotionTask, make_task


__all__ = [
    "environment_record",
    "format_score",
    "load_results",
    "make_results",
    "markdown_table",
    "overview",
    "paired_test",
    "results_latex",
    "results_table",
    "save_json_atomic",
    "summarize",
    "task_of",
]

SCHEMA_VERSION = 1
LEARNING_CHECK = "learning check"
RANDOM_CLIPS = "random clips"
PUBLISHED_SPLIT = "published split"
PROTOCOLS = ("plain", "speaker-normalised", LEARNING_CHECK, RANDOM_CLIPS, PUBLISHED_SPLIT)
LEARNING_CHECK_NOTE = (
    "A learning check scores the very clips that the network was trained on: it shows that the network can learn from such "
    "input, and says nothing about people it has not seen."
)
RANDOM_CLIPS_NOTE = (
    "Random clips: the corpus does not say who speaks, so people of the test are trained on as well; such a score is not "
    "speaker-independent, and says nothing about people the network has not seen."
)
PUBLISHED_SPLIT_NOTE = (
    "Published split: one division of the clips that came with the corpus, for comparison with others; no interval where the "
    "corpus does not say who speaks, and then the same people may be on both sides."
)
# What must be said wherever a score of these protocols stands.
PROTOCOL_NOTES = {
    LEARNING_CHECK: LEARNING_CHECK_NOTE,
    RANDOM_CLIPS: RANDOM_CLIPS_NOTE,
    PUBLISHED_SPLIT: PUBLISHED_SPLIT_NOTE,
}
_NUMBERS = ("Validation UAR", "ms per clip", *(title for task in TASKS.values() for title in task.titles.values()))
# What makes a results file large: numbers per clip and per epoch.
_DETAILS_OF_RUNS = ("predictions", "single_modality", "history")
_PACKAGES = (
    "torch",
    "torchaudio",
    "transformers",
    "datasets",
    "accelerate",
    "evaluate",
    "numpy",
    "scipy",
    "av",
    "opencv-python-headless",
)


def environment_record(command: Sequence[str] | None = None) -> dict[str, Any]:
    """What a result was made with: command, versions, processor and accelerators."""
    import torch

    argv = list(sys.argv if command is None else command)
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    from . import __version__

    return {
        # The program by its name: where it is installed is nobody's business.
        "command": shlex.join([Path(argv[0]).name, *argv[1:]]) if argv else "",
        "modeling_tacfn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor_name(),
        "num_processors": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "packages": versions,
    }


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def make_results(
    name: str,
    corpus: str,
    labels: Sequence[str],
    runs: Sequence[Mapping[str, Any]],
    protocol: str = "plain",
    task: str = EmotionTask.name,
    **details: Any,
) -> dict[str, Any]:
    """Put together the content of `results.json`.

    Args:
        name (`str`): the method.
        corpus (`str`): the corpus it was trained and tested on.
        labels (`Sequence[str]`): names of the classes, in order.
        runs (`Sequence[Mapping]`): all runs so far.
        protocol (`str`, *optional*, defaults to `"plain"`): `"plain"` (nothing of a test speaker is seen),
            `"speaker-normalised"` (features centred and scaled by a speaker's own unlabelled clips), `"learning check"`
            (the clips of the training are scored, which says nothing about other people), `"random clips"` (nobody knows
            who speaks in which clip) or `"published split"` (the sides that came with the corpus).
        task (`str`, *optional*, defaults to `"emotion"`): one of `tasks.TASKS`.
        details: what else made the numbers, such as `config`, `splits`, `num_parameters`, `environment`.

    Returns:
        `dict`: the runs, their `summary`, and the `single_modality` summaries where the runs have such predictions.

    Raises:
        ValueError: If the protocol is unknown, or a run shares speakers between training and test and the protocol is not
            the learning check.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"Expected the protocol to be one of {', '.join(map(repr, PROTOCOLS))}, received {protocol!r}."
        )
    _check_protocol(runs, protocol)
    single = [set(run.get("single_modality") or ()) for run in runs]
    shared = sorted(set.intersection(*single)) if single else []
    summaries = {inputs: summarize(runs, labels, inputs, task=task) for inputs in (None, *shared)}
    is_anybody = any(item["speaker"] is None for run in runs for item in run["predictions"])
    if protocol in (LEARNING_CHECK, RANDOM_CLIPS) or is_anybody:
        # An interval over speakers is about speakers to come, of whom nothing is known here.
        for summary in summaries.values():
            for metric in TASKS[task].scores:
                summary[metric]["interval_95"] = None
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "corpus": corpus,
        "protocol": protocol,
        "task": task,
        "labels": list(labels),
        **details,
        "summary": summaries.pop(None),
        "single_modality": summaries,
        "runs": list(runs),
    }


def _check_protocol(runs: Sequence[Mapping[str, Any]], protocol: str) -> None:
    for run in runs:
        splits = run.get("splits") or {}
        shared = sorted(set(splits.get("train", ())) & set(splits.get("test", ())))
        if shared and protocol != LEARNING_CHECK:
            raise ValueError(
                f"Expected the protocol {LEARNING_CHECK!r} for a run that is scored on speakers it was trained on, received "
                f"{protocol!r} for one that shares {', '.join(shared)}. Test other speakers, or name the protocol."
            )


def load_results(path: str | os.PathLike) -> dict[str, Any]:
    """Read a `results.json`.

    Raises:
        ValueError: If it is none, or was written by a newer version.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
        version = results["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected results in {path}, as train.py writes them, received something else ({error})."
        ) from None
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"Expected results of version {SCHEMA_VERSION} in {path}, received version {version}. Upgrade modeling_tacfn."
        )
    return results


def overview(results: Sequence[Mapping[str, Any] | str | os.PathLike], reference: str | None = None) -> dict[str, Any]:
    """Several results in one small file: all but the predictions of single clips and the histories of the runs.

    Args:
        results (`Sequence`): contents or paths of `results.json` files.
        reference (`str`, *optional*): the method that every other one is compared with in a paired test over speakers, on
            the same corpus and protocol.

    Returns:
        `dict`: `results`, ordered by protocol and within it by their WAR; beside `summary` each has `paired`, what
        [`paired_test`] says of its WAR and UAR minus those of the reference, and `validation_uar`, mean and standard
        deviation over the runs of what the validation speakers' clips got: the score by which options may be chosen;
        and `speakers`, the counts of each test speaker, where it is known who speaks.
    """
    items = [item if isinstance(item, Mapping) else load_results(item) for item in results]
    items.sort(key=lambda item: (item["protocol"], item["summary"][next(iter(task_of(item).scores))]["mean"]))
    references = {_protocol(item): item for item in items if item["name"] == reference}
    small = []
    for item in items:
        other = references.get(_protocol(item))
        runs = [{key: run[key] for key in run if key not in _DETAILS_OF_RUNS} for run in item["runs"]]
        paired = {
            metric: paired_test(item["runs"], other["runs"], len(item["labels"]), metric, task=task_of(item).name)
            for metric in list(task_of(item).scores)[:2]
            if other is not None and other is not item
        }
        small.append(
            {
                **item,
                "paired": {"reference": reference, **paired} if paired else None,
                "validation_uar": _validation_uar(item["runs"]),
                "speakers": _speaker_counts(item),
                "runs": runs,
            }
        )
    return {"schema_version": SCHEMA_VERSION, "results": small}


def task_of(results: Mapping[str, Any]) -> type[EmotionTask]:
    """What was asked; results from before there was a choice are about emotions."""
    return TASKS[results.get("task", EmotionTask.name)]


def _protocol(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["corpus"], item["protocol"], task_of(item).name


def _speaker_counts(item: Mapping[str, Any]) -> dict[str, dict] | None:
    if item["protocol"] == RANDOM_CLIPS:
        return None
    predictions = [row for run in item["runs"] for row in run["predictions"]]
    return counts_by_speaker(predictions, make_task(item.get("task", EmotionTask.name), item["labels"]))


def _validation_uar(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """Mean and standard deviation of the kept epochs' validation UAR; `None` without validation speakers."""
    kept = [
        epoch["validation_uar"]
        for run in runs
        for epoch in run.get("history", ())
        if "validation_uar" in epoch and epoch["best"]
    ]
    if not kept:
        return None
    return {
        "mean": statistics.mean(kept),
        "sd": statistics.stdev(kept) if len(kept) > 1 else None,
        "interval_95": None,
    }


def results_table(results: Sequence[Mapping[str, Any] | str | os.PathLike], single_modality: bool = True) -> str:
    """Write results as a Markdown table, one row per method and inputs; scores in percent.

    Args:
        results (`Sequence`): contents or paths of `results.json` files.
        single_modality (`bool`, *optional*, defaults to `True`): with rows for the same weights given one modality only.

    Returns:
        `str`: the table, with a line on how to read it.
    """
    items = [item if isinstance(item, Mapping) else load_results(item) for item in results]
    header, rows, notes = _table(items, single_modality)
    lines = [header, ["---:" if name in _NUMBERS else "---" for name in header], *rows]
    return f"{markdown_table(lines)}\n\n{notes}\n"


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """The cells of a header, of the line under it and of the rows, as Markdown."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def results_latex(results: Sequence[Mapping[str, Any] | str | os.PathLike], single_modality: bool = False) -> str:
    """Write results as a LaTeX table (`booktabs`), otherwise as [`results_table`] does."""
    items = [item if isinstance(item, Mapping) else load_results(item) for item in results]
    header, rows, notes = _table(items, single_modality)
    columns = "".join("r" if name in _NUMBERS else "l" for name in header)
    lines = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in (header, *rows)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            f"% {notes}",
            "",
        ]
    )


def _latex(text: str) -> str:
    for plain, escaped in (("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("±", r"$\pm$"), ("−", "$-$"), ("–", "--")):
        text = text.replace(plain, escaped)
    return text


def _table(items: Sequence[Mapping[str, Any]], single_modality: bool) -> tuple[list[str], list[list[str]], str]:
    """Header, rows and a line on how to read them; a column appears only where it tells rows apart."""
    reference = next((item["paired"]["reference"] for item in items if item.get("paired")), None)
    is_timed = any(item.get("seconds_per_clip") for item in items)
    is_validated = any(item.get("validation_uar") for item in items)
    tasks = {task_of(item) for item in items}
    if len(tasks) != 1:
        raise ValueError(
            f"Expected results of one task in a table, received {', '.join(sorted(task.name for task in tasks))}."
        )
    (task,) = tasks
    metric, first = next(iter(task.titles.items()))
    header = ["Method", "Inputs", "Corpus", "Protocol", *task.titles.values()]
    header += ["Validation UAR"] * is_validated
    header += (
        [f"{first} − {reference}"] * (reference is not None) + ["Runs", "Parameters"] + ["ms per clip"] * is_timed
    )
    rows, noted = [], [protocol for protocol in PROTOCOL_NOTES if any(item["protocol"] == protocol for item in items)]
    for item in items:
        is_check = item["protocol"] == LEARNING_CHECK
        parts = [("all", item["summary"])]
        if single_modality:
            parts += (item.get("single_modality") or {}).items()
        for inputs, summary in parts:
            row = [item["name"], inputs, item["corpus"], item["protocol"]]
            row += [format_score(summary[name], task, name) for name in task.scores]
            if is_validated:
                known = item.get("validation_uar") if inputs == "all" else None
                row.append(format_score(known) if known else "")
            if reference is not None:
                scale = 100 if metric in task.shares else 1
                row.append(_format_difference(item.get("paired"), metric, scale) if inputs == "all" else "")
            split = "no split" if is_check else _count(len(summary["folds"]), "fold")
            row += [f"{split}, {_count(len(summary['seeds']), 'seed')}", _format_size(item.get("num_parameters"))]
            if is_timed:
                seconds = item.get("seconds_per_clip") if inputs == "all" else None
                row.append(f"{1000 * seconds:.1f}" if seconds else "")
            rows.append(row)
    # Of a protocol that needs a word of caution every row names it, wherever it is copied to.
    header, rows, shared = (header, rows, "") if noted else _without_constant_columns(header, rows)
    notes = shared + (
        "Percent: mean ± standard deviation over folds and seeds [95 % interval of the pooled score, bootstrapped over "
        "speakers]."
    )
    beside = sorted({_always_no(item) for item in items if "always_no" in item["summary"]})
    if beside:
        notes += f" Answering no to everything: {'; or '.join(beside)}."
    if reference is not None:
        notes += f" {first} − {reference}: difference on the same clips [95 % interval], p of a permutation test over speakers."
    if is_validated:
        notes += " Validation UAR: of the speakers who choose the epoch, and by whom options may be chosen."
    if is_timed:
        notes += " ms per clip: median time in the network, one clip alone, all methods in one run."
    return header, rows, " ".join([notes, *(PROTOCOL_NOTES[protocol] for protocol in noted)])


def _always_no(item: Mapping[str, Any]) -> str:
    """What answering no to everything scores on the same clips."""
    titles = task_of(item).titles
    return ", ".join(f"{titles[name]} {100 * value:.1f}" for name, value in item["summary"]["always_no"].items())


def _without_constant_columns(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]], str]:
    """What is the same in every row is said once, in a sentence, and not in a column."""
    constant = [
        index
        for index, name in enumerate(header)
        if name in ("Inputs", "Corpus", "Protocol", "Runs") and len({row[index] for row in rows}) == 1 < len(rows)
    ]
    said = [f"{header[index].lower()} {rows[0][index]}" for index in constant]
    kept = [index for index in range(len(header)) if index not in constant]
    return (
        [header[index] for index in kept],
        [[row[index] for index in kept] for row in rows],
        f"In all rows: {'; '.join(said)}. " if said else "",
    )


def _format_difference(paired: Mapping[str, Any] | None, metric: str, scale: float) -> str:
    if not paired:
        return "–"
    test, digits = paired[metric], 1 if scale == 100 else 3
    numbers = [f"{scale * value:+.{digits}f}" for value in (test["difference"], *test["interval_95"])]
    p_value = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
    return "{} [{}, {}], {}".format(*numbers, p_value).replace("-", "−")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def format_score(score: Mapping[str, Any], task: type[EmotionTask] = EmotionTask, metric: str = "war") -> str:
    """A share in percent with one decimal, any other number with three; a dash for what is not defined."""
    scale, digits = (100, 1) if metric in task.shares else (1, 3)

    def said(value: float | None) -> str:
        return "–" if value is None or value != value else f"{scale * value:.{digits}f}"

    text = said(score["mean"])
    if score["sd"] is not None:
        text += f" ± {said(score['sd'])}"
    if score["interval_95"] is not None:
        text += " [{}, {}]".format(*map(said, score["interval_95"]))
    return text


def _format_size(parameters: int | None) -> str:
    if parameters is None:
        return "–"
    return f"{parameters / 1e6:.2f} M" if parameters >= 1e5 else f"{parameters / 1e3:.1f} k"
