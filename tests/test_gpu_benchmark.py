"""The measurement of docs/gpu.md, gone through on a CPU with a small network; and one epoch on a GPU where there is one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
# What a bare checkout beside torch, transformers and accelerate lacks.
MISSING = (
    "av",
    "cv2",
    "datasets",
    "evaluate",
    "matplotlib",
    "PIL",
    "scipy",
    "sklearn",
    "soundfile",
    "torchaudio",
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the one command writes where the libraries of `MISSING` are not installed."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({MISSING!r}))\n")
    path = f"{folder}{os.pathsep}."
    script = (ROOT / "benchmarks" / "gpu.sh").read_text(encoding="utf-8").replace("PYTHONPATH=.", f"PYTHONPATH={path}")
    result = subprocess.run(
        ["bash", "-s", "--", "--device", "cpu", "--tiny"],
        input=script.replace('cd "$(dirname "$0")/.."', f"cd {ROOT}"),
        env=os.environ | {"OUT": str(folder), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads((folder / "gpu.json").read_text(encoding="utf-8")), result.stdout


@pytest.mark.slow
def test_every_setting_is_measured_against_the_authors(measured):
    record, printed = measured
    assert record["flop_per_clip"] > 0
    authors, *ours = record["settings"]
    assert (authors["name"], authors["cudnn"], authors["bf16"], authors["compile"]) == ("authors", False, False, "")
    assert authors["ratio_to_authors"] == 1
    assert {"+ bf16", "+ channels last", "+ compiled"} <= {row["name"] for row in ours}
    assert any(row["checkpointing"] for row in ours)
    for row in record["settings"]:
        assert row["status"] == "measured", row
        assert row["clips_per_second"] == pytest.approx(row["batch_size"] / row["seconds_per_step"])
        assert row["ratio_to_authors"] == pytest.approx(row["clips_per_second"] / authors["clips_per_second"])
        assert row["kernels"]
        assert sum(kernel["share"] for kernel in row["kernels"]) <= 1.001
        assert f"| {row['name']} |" in printed
    assert "No picture: matplotlib is not installed" in printed


@pytest.mark.slow
def test_the_data_are_measured_by_workers(measured):
    data = measured[0]["data"]
    assert data["status"] == "measured"
    assert data["failed"] == {}
    assert data["clips_per_second_delivered"].keys() == data["clips_per_second_trained"].keys() >= {"0"}
    assert all(rate > 0 for rate in data["clips_per_second_delivered"].values())


def test_the_page_shows_what_was_measured_or_says_that_nothing_was():
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert ("not measured yet" in page) != (ROOT / "benchmarks" / "results" / "gpu.json").exists()
    assert re.search(r"bash benchmarks/gpu\.sh", page)
