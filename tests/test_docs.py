"""The README says only what results files say and what the program can do."""

import doctest
import importlib
import json
import re
from pathlib import Path

import pytest

from modeling_tacfn.results import results_table
from tacfn import build_parser


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_tables_are_made_from_the_committed_results(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    if "results" not in stored:
        assert results_table([stored]).strip() in README, f"the README does not show {path.name} as it is"
        return
    assert results_table(stored["results"], single_modality=False).strip() in README
    page = (ROOT / "docs" / f"{path.stem}.md").read_text(encoding="utf-8")
    assert results_table(stored["results"]).strip() in page, f"{path.stem}.md does not show {path.name} as it is"


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


@pytest.mark.parametrize("name", ["configuration_tacfn", "processing_tacfn"])
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"modeling_tacfn.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
