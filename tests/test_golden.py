"""Folders that an earlier version saved still load and answer as they did; what this version does not know is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from golden_inputs import direct_inputs, processed_inputs
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.utils import logging

from modeling_tacfn import TacfnConfig


GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.parent for path in GOLDEN.glob("*/config.json"))
# Sound is transformed and frames are resized by libraries that round differently from one processor to another.
TOLERANCE = {"direct": 1e-5, "processed": 1e-4}
NETWORKS = {"tacfn_audio_video", "tacfn_features", "cfn_sr", "avt_ca", "baseline_mmtm"}


@pytest.fixture
def warnings_of_library(caplog, monkeypatch):
    """The library keeps its messages from the root logger, where pytest listens."""
    monkeypatch.setattr(logging.get_logger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.get_logger("modeling_tacfn"), "propagate", True)
    return caplog


def expected(folder: Path) -> dict:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_there_is_one_of_each_kind():
    assert {folder.name for folder in FOLDERS} == NETWORKS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_folder_answers_as_it_did(folder, warnings_of_library):
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    logits = expected(folder)["logits"]
    inputs = {"direct": direct_inputs(model.config), "processed": processed_inputs(processor)}
    assert inputs.keys() == logits.keys()
    for kind, values in inputs.items():
        with torch.no_grad():
            answer = model(**values).logits
        torch.testing.assert_close(answer, torch.tensor(logits[kind]), atol=TOLERANCE[kind], rtol=0)
        # An answer that does not depend on the clip would pass for any input.
        assert (answer[0] - answer[1]).abs().max() > 1e-3
    assert "does not know" not in warnings_of_library.text


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_folder_is_small_and_says_what_made_it(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    names = {"config.json", "expected.json", "model.safetensors", "processor_config.json"}
    assert {path.name for path in folder.iterdir()} == names
    made = expected(folder)
    assert made["transformers"] == json.loads((folder / "config.json").read_text())["transformers_version"]
    assert made["modeling_tacfn"].count(".") == 2


def changed(folder: Path, target: Path, **fields) -> Path:
    """A copy of a folder whose config.json has some fields more, or without those that are `None`."""
    shutil.copytree(folder, target)
    path = target / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return target


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_field_of_a_newer_version_is_named(folder, tmp_path, warnings_of_library):
    newer = changed(folder, tmp_path / "newer", gate_bias=0.5, transformers_version="99.0.0")
    config = AutoConfig.from_pretrained(newer)
    assert f"{type(config).__name__} does not know the fields gate_bias" in warnings_of_library.text
    assert "upgrade" in warnings_of_library.text


def test_a_misspelt_field_is_named(warnings_of_library):
    TacfnConfig(hiden_size=32)
    assert "TacfnConfig does not know the fields hiden_size" in warnings_of_library.text


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("tacfn_audio_video", ["weight_residual", "selection_pooling", "modality_loss_weight", "label2id"]),
        ("tacfn_features", ["feature_limit", "spectrogram_dropout"]),
        ("cfn_sr", ["stem_activation", "modality_loss_weight"]),
        ("avt_ca", ["modality_classifiers", "feed_forward_ratio"]),
        ("baseline_mmtm", ["msaf_block_dropout", "sketch_size"]),
    ],
)
def test_a_file_of_an_older_version_takes_the_defaults(name, missing, tmp_path, warnings_of_library):
    fields = dict.fromkeys(missing) | {"transformers_version": "5.10.0"}
    older = changed(GOLDEN / name, tmp_path / "older", **fields)
    model = AutoModel.from_pretrained(older).eval()
    with torch.no_grad():
        answer = model(**direct_inputs(model.config)).logits
    logits = torch.tensor(expected(GOLDEN / name)["logits"]["direct"])
    torch.testing.assert_close(answer, logits, atol=1e-5, rtol=0)
    assert "does not know" not in warnings_of_library.text


def test_what_the_library_adds_to_a_call_or_a_file_is_no_unknown_field(tmp_path, warnings_of_library):
    folder = changed(GOLDEN / "cfn_sr", tmp_path / "copy", torch_dtype="float32", _commit_hash="0", num_labels=8)
    AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).save_pretrained(
        tmp_path / "again"
    )
    AutoConfig.from_pretrained(tmp_path / "again")
    assert "does not know" not in warnings_of_library.text
    assert transformers.__version__ in (tmp_path / "again" / "config.json").read_text()
