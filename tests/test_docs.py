"""The README and the pages in docs say only what results files say and what the program can do."""

import doctest
import importlib
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from modeling_tacfn.adaptation_curve import adaptation_table
from modeling_tacfn.missing import missing_table
from modeling_tacfn.results import LEARNING_CHECK, load_results, results_table
from tacfn import build_parser


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEARNING_PAGE = (ROOT / "docs" / "learning_check.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_tables_are_made_from_the_committed_results(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    if "results" not in stored:
        # What is scored on its own training clips does not stand among the scores of the README.
        page = LEARNING_PAGE if stored["protocol"] == LEARNING_CHECK else README
        assert results_table([stored]).strip() in page, f"the page of {path.name} does not show it as it is"
        return
    own = ROOT / "docs" / f"{path.stem}.md"
    pages = README + (own.read_text(encoding="utf-8") if own.exists() else "")
    assert results_table(stored["results"], single_modality=False).strip() in pages, f"no page shows {path.name}"


def test_figures_of_the_learning_check_are_those_of_its_results():
    results = load_results(ROOT / "docs" / "results" / "learning_check.json")
    assert " /" not in results["environment"]["command"], "a folder of the machine it ran on"
    (run,) = results["runs"]
    first, last = (run["history"][epoch]["train_loss"] for epoch in (0, -1))
    seconds = sum(epoch["seconds"] for epoch in run["history"])
    rows = {row["clip_id"]: row for row in run["predictions"]}
    angry = results["labels"].index("angry")
    text = " ".join(LEARNING_PAGE.split())
    assert f"fell from {first:.3f} in the first epoch" in text
    assert f"to {last:.3f} in the last" in text
    assert f"the epochs took {seconds:.0f} s" in text
    assert f"in all {results['num_parameters']:,} parameters" in text
    assert f"angry with {100 * rows['01-01-05-01-01-01-05']['probabilities'][angry]:.1f} %" in text


@pytest.mark.parametrize(
    ("measured", "page"),
    [
        ("one_clip", "speed"),
        ("prepare", "corpora"),
        ("scaling", "distributed"),
        ("timeline", "timeline"),
        ("export", "export"),
        ("startup", "speed"),
        ("many_clips", "speed"),
        ("grid", "speed"),
    ],
)
def test_tables_of_speed_are_what_was_measured(measured, page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    program = runpy.run_path(str(ROOT / "benchmarks" / f"{measured}.py"))
    record = json.loads((ROOT / "benchmarks" / "results" / f"{measured}.json").read_text(encoding="utf-8"))
    assert program["table"](record) in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def test_what_is_expected_of_many_gpus_follows_from_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    program = runpy.run_path(str(ROOT / "benchmarks" / "scaling.py"))
    record = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
    assert program["reasoned_table"](record) in page
    assert program["sentence"](record) in " ".join(page.split())


def test_the_speed_of_the_readme_is_what_was_measured():
    record = json.loads((ROOT / "benchmarks" / "results" / "one_clip.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("**Speed.**")[1].split("##")[0]
    quoted = ("torch, channels last, freed memory kept", "openvino", "torch, plain")
    assert re.findall(r"(\d\.\d\d) s", text) == [f"{record['total_seconds'][name]:.2f}" for name in quoted]


def test_the_real_clip_is_as_fast_as_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    table = runpy.run_path(str(ROOT / "benchmarks" / "one_clip.py"))["table"]
    record = json.loads((ROOT / "benchmarks" / "results" / "one_clip_ravdess.json").read_text(encoding="utf-8"))
    assert table(record) in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("measured", ["space_load", "space_load_published"])
def test_the_space_is_as_fast_as_was_measured(measured, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pytest.importorskip("gradio_client", reason="gradio_client of the extra `space` is not installed")
    program = runpy.run_path(str(ROOT / "benchmarks" / "space_load.py"))
    record = json.loads((ROOT / "benchmarks" / "results" / f"{measured}.json").read_text(encoding="utf-8"))
    assert program["sentence"](record) in (ROOT / "space" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "field", "table"),
    [("adaptation", "adaptation", adaptation_table), ("ravdess_au", "missing", missing_table)],
)
def test_tables_of_less_are_those_of_the_committed_results(page, field, table):
    stored = json.loads((ROOT / "docs" / "results" / "ravdess_au.json").read_text(encoding="utf-8"))
    scored = [item for item in stored["results"] if field in item]
    assert table(scored).split("\n\n")[0] in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def test_how_people_differ_is_as_counted():
    stored = json.loads((ROOT / "docs" / "results" / "ravdess_au.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "ravdess_au.md").read_text(encoding="utf-8").replace("\n", " ")
    for item in (item for item in stored["results"] if item["name"] == "tacfn"):
        war_of = {name: np.trace(given["counts"]) / given["answers"] for name, given in item["speakers"].items()}
        sexes = [[war for name, war in war_of.items() if int(name) % 2 == sex] for sex in (0, 1)]
        for value in (max(war_of.values()), min(war_of.values()), *map(np.mean, sexes)):
            assert f"{100 * value:.0f} %" in page


def test_files_that_the_readme_names_exist():
    named = re.findall(r"\]\((?!https?://)([^)#]+)\)", README) + re.findall(r"(configs/\S+\.yaml)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_make_targets_that_the_readme_names_exist():
    targets = re.findall(r"^([a-z_-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"(?:^|`)make ([a-z_-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(targets)


def test_tacfn_commands_of_the_readme_are_understood():
    lines = re.findall(r"^tacfn (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert lines
    for line in lines:
        build_parser().parse_args(line.split())


@pytest.mark.parametrize(
    "name", ["configuration_cfn_sr", "configuration_tacfn", "memory", "pipeline_tacfn", "processing_tacfn"]
)
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"modeling_tacfn.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
