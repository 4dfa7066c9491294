"""Measurements are compared with those before by ratios within a run, and only on machines of one kind."""

import copy
import json
import sys
from pathlib import Path

import pytest


BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MACHINE = {"processor": "Made 1", "num_processors": 2, "num_threads": 2, "accelerators": []}


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare

    yield compare
    sys.modules.pop("compare")


@pytest.fixture
def record() -> dict:
    return {
        "median_seconds": {"import": 2.0, "help": 0.1},
        "slowest_seconds": {"import": 9.0, "help": 9.0},
        "reference_matmul_seconds": 0.05,
        "environment": dict(MACHINE),
    }


def verdicts(compare, before, now) -> dict[str, str]:
    return {row["stage"]: row["verdict"] for row in compare.compare("startup", before, now)}


def test_what_got_slower_is_named(compare, record):
    now = copy.deepcopy(record)
    now["median_seconds"] = {"import": 2.8, "help": 0.05}
    assert verdicts(compare, record, now) == {"import": "slower", "help": "faster"}
    text = compare.table(compare.compare("startup", record, now))
    assert text.splitlines()[-1].split() == ["slower", "1.40", "x", "40.00", "->", "56.00", "startup:", "import"]


def test_noise_is_no_change(compare, record):
    now = copy.deepcopy(record)
    now["median_seconds"] = {"import": 2.2, "help": 0.09}
    assert set(verdicts(compare, record, now).values()) == {"same"}


def test_a_slower_hour_of_the_machine_is_no_slower_stage(compare, record):
    now = copy.deepcopy(record)
    now["median_seconds"] = {name: 2 * seconds for name, seconds in record["median_seconds"].items()}
    now["reference_matmul_seconds"] *= 2
    assert set(verdicts(compare, record, now).values()) == {"same"}


@pytest.mark.parametrize(
    "other",
    [{"processor": "Made 2"}, {"num_processors": 8}, {"num_threads": 1}, {"accelerators": ["Made G"]}],
    ids=lambda other: next(iter(other)),
)
def test_a_machine_of_another_kind_is_not_compared(compare, record, other):
    now = copy.deepcopy(record)
    now["median_seconds"]["import"] = 200.0
    now["environment"] |= other
    rows = compare.compare("startup", record, now)
    assert {row["verdict"] for row in rows} == {"other machine"}
    assert {row["before"] for row in rows} == {None}


def test_a_stage_that_was_not_measured_before_is_new(compare, record):
    now = copy.deepcopy(record)
    now["median_seconds"]["predict"] = 3.0
    assert verdicts(compare, record, now) == {"import": "same", "help": "same", "predict": "new"}
    assert set(verdicts(compare, None, now).values()) == {"new"}


def test_other_clips_are_another_stage(compare):
    row = {"num_proc": 1, "clips": 80, "seconds": 30.0, "reference_matmul_seconds": 0.1}
    before, now = (
        {"clips": clips, "runs": [row], "environment": dict(MACHINE)} for clips in ("drawn", "8 of Actor_05")
    )
    assert [row["verdict"] for row in compare.compare("prepare", before, now)] == ["new"]


@pytest.mark.parametrize(
    "benchmark", ["startup", "one_clip", "many_clips", "prepare", "timeline", "export", "grid", "scaling"]
)
def test_committed_results_equal_themselves(compare, benchmark):
    stored = json.loads((BENCHMARKS / "results" / f"{benchmark}.json").read_text(encoding="utf-8"))
    rows = compare.compare(benchmark, stored, stored)
    assert rows
    assert {row["verdict"] for row in rows} == {"same"}


def test_the_picture_shows_every_stage(compare, record, tmp_path):
    import run

    now = copy.deepcopy(record)
    now["median_seconds"] |= {"import": 3.0, "predict": 3.0}
    run.draw(compare.compare("startup", record, now), tmp_path / "speed.png")
    sys.modules.pop("run")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
