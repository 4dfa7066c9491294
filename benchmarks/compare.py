"""Is a measurement slower than the last one of a machine of the same kind? By ratios to a reference of the same run."""

from collections.abc import Callable


# Between two runs of the same code on an idle machine, in ratios: long recordings moved by up to 8 %, runs of two seconds by up to 24 %.
SLOWER = 1.3
FASTER = 1 / SLOWER


def _one_clip(record: dict) -> dict[str, float]:
    return {f"{name}, {record['clip']}": ratio for name, ratio in record["ratio_to_reference"].items()}


def _many_clips(record: dict) -> dict[str, float]:
    return {
        f"{row['network']}, batch {row['batch_size']}, {row['num_workers']} processes, {row['clips']} clips {record['clips']}": _ratio(
            row
        )
        for row in record["runs"]
    }


def _prepare(record: dict) -> dict[str, float]:
    return {
        f"{row['num_proc']} processes, {row['clips']} clips {record['clips']}": _ratio(row) for row in record["runs"]
    }


def _timeline(record: dict) -> dict[str, float]:
    recordings = record["recordings"]
    named = recordings if isinstance(recordings, str) else " ".join(recordings)
    return {f"{row['network']}, {row['seconds']:.0f} s {named}": _ratio(row, "work_seconds") for row in record["runs"]}


def _export(record: dict) -> dict[str, float]:
    ratios = {}
    for network in record["networks"]:
        if "reference_matmul_seconds" in network:
            ratios[f"{network['name']}, torch"] = _ratio(network, "torch_seconds")
        for file_format, facts in network["formats"].items():
            # Timed in turn with torch, which is the steadier reference of the two.
            ratios[f"{network['name']}, {file_format} to torch"] = facts["ratio_to_torch"]
    return ratios


def _startup(record: dict) -> dict[str, float]:
    reference = record["reference_matmul_seconds"]
    return {name: seconds / reference for name, seconds in record["median_seconds"].items()}


def _grid(record: dict) -> dict[str, float]:
    return {f"{row['method']}, an epoch, {record['processes']} side by side": _ratio(row) for row in record["runs"]}


def _scaling(record: dict) -> dict[str, float]:
    return {
        f"{row['network']}, {row['processes']}, {row['way']}, a clip": 1
        / row["clips_per_second"]
        / row["reference_matmul_seconds"]
        for row in record["runs"]
    }


def _ratio(row: dict, key: str = "seconds") -> float:
    return row[key] / row["reference_matmul_seconds"]


# What each benchmark's record says of the time of each stage. A stage is named with what it was given, since only like compares.
RATIOS: dict[str, Callable[[dict], dict[str, float]]] = {
    "startup": _startup,
    "one_clip": _one_clip,
    "many_clips": _many_clips,
    "prepare": _prepare,
    "timeline": _timeline,
    "export": _export,
    "grid": _grid,
    "scaling": _scaling,
}


def machine_of(record: dict) -> tuple:
    """What has to be alike for two records to be compared: the processor, how many, threads, accelerators."""
    environment = record["environment"]
    names = ("processor", "num_processors", "num_threads", "accelerators")
    return (*(environment.get(name) for name in names), record.get("threads"))


def compare(benchmark: str, before: dict | None, now: dict) -> list[dict]:
    """
    Stage by stage, what became of the time.

    Args:
        benchmark (`str`): a key of `RATIOS`.
        before (`dict`, *optional*): the record to compare with.
        now (`dict`): the new record.

    Returns:
        `list[dict]`: `benchmark`, `stage`, `before` and `now` in reference operations (`before` is `None` where there is nothing to
        compare with), and `verdict`: slower, faster, same, new, or other machine.
    """
    ratios = RATIOS[benchmark]
    is_same_machine = before is None or machine_of(before) == machine_of(now)
    known = ratios(before) if before is not None and is_same_machine else {}
    rows = []
    for stage, ratio in ratios(now).items():
        verdict = "new" if is_same_machine else "other machine"
        if stage in known:
            change = ratio / known[stage]
            verdict = "slower" if change > SLOWER else "faster" if change < FASTER else "same"
        rows.append(
            {"benchmark": benchmark, "stage": stage, "before": known.get(stage), "now": ratio, "verdict": verdict}
        )
    return rows


def table(rows: list[dict]) -> str:
    """The stages as lines of text, those that got slower at the end, where they are seen."""
    order = ["other machine", "new", "same", "faster", "slower"]
    lines = []
    for row in sorted(rows, key=lambda row: order.index(row["verdict"])):
        change = "" if row["before"] is None else f"{row['now'] / row['before']:.2f} x"
        before = "" if row["before"] is None else f"{row['before']:.2f}"
        lines.append(
            f"{row['verdict']:<13} {change:>7}  {before:>9} -> {row['now']:>9.2f}  {row['benchmark']}: {row['stage']}"
        )
    return "\n".join(lines)
