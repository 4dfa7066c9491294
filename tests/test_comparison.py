# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Many methods side by side: what is planned, trained, resumed and written."""

import json
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones
from transformers import AutoModel, AutoProcessor

from dataset_scripts.base import CORPORA
from modeling_tacfn import comparison, experiment
from modeling_tacfn.comparison import (
    METHODS,
    Job,
    ablations,
    compare,
    default_methods,
    finished_runs,
    method_options,
    plan,
    write_comparison,
)
from modeling_tacfn.train_options import parse_arguments
from tacfn import main


ROOT = Path(__file__).resolve().parents[1]
OPTIONS = {
    "dataset": "tones",
    "model": NETWORK,
    "audio_processor": AUDIO_PROCESSOR,
    "num_folds": 4,
    "validation_speakers": 0,
    "epochs": 2,
    "batch_size": 6,
    "num_proc": 1,
}
FORMS = [{}, {"feature_sizes": {"audio": 64, "prosody": 39, "action_units": 35}}]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("tones")
    write_tones(root / "corpus")
    return root


@pytest.fixture
def config(corpus, tmp_path, monkeypatch) -> Path:
    """A configuration file on a corpus of tones, which the processes of the grid know too."""
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", corpus / "datasets")
    script = tmp_path / "experiment_on_tones.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        "import datasets\n"
        f"datasets.config.HF_DATASETS_CACHE = {str(corpus / 'datasets')!r}\n"
        "from dataset_scripts.base import CORPORA\nCORPORA['tones'] = 'tone_corpus:Tones'\n"
        "from modeling_tacfn.experiment import main\nmain()\n"
    )
    monkeypatch.setattr(comparison, "TRAIN", (sys.executable, str(script)))
    path = tmp_path / "tones.yaml"
    path.write_text(
        yaml.safe_dump(OPTIONS | {"data_dir": str(corpus / "corpus"), "cache_dir": str(corpus / "prepared")})
    )
    return path


@pytest.mark.parametrize("model", FORMS, ids=["audio_video", "features"])
def test_every_method_has_options(model):
    options = {name: method_options(name, model) for name in (*METHODS, *ablations(model))}
    assert options["tacfn"] == []
    assert len({tuple(value) for value in options.values()}) == len(options)


def test_an_ablation_changes_something():
    """What an option's default already says is no ablation, nor is a direction that is TACFN's own."""
    assert set(ablations(FORMS[0])) >= {"tacfn_mean_one", "tacfn_reinforce_sound", "tacfn_reinforce_both"}
    assert not {"tacfn_softmax", "tacfn_mean_pooling", "tacfn_reinforce_face"} & set(ablations(FORMS[0]))
    assert set(ablations(FORMS[1] | {"weight_scale": "mean_one"})) >= {"tacfn_softmax", "tacfn_reinforce_face"}
    assert not {"tacfn_mean_one", "tacfn_reinforce_both"} & set(ablations(FORMS[1] | {"weight_scale": "mean_one"}))
    with pytest.raises(ValueError, match="got 'tacfn_softmax'; an ablation that changes nothing"):
        method_options("tacfn_softmax", FORMS[0])


def test_what_a_form_does_not_define_is_left_out():
    assert default_methods(FORMS[0]) == list(METHODS)
    assert default_methods(FORMS[1]) == [name for name in METHODS if name != "cfn_sr"]


def test_sound_and_face_are_told_apart():
    assert method_options("audio_only", FORMS[0]) == ["--modalities", "audio"]
    assert method_options("video_only", FORMS[0]) == ["--modalities", "video"]
    assert method_options("audio_only", FORMS[1]) == ["--modalities", "audio", "prosody"]
    assert method_options("video_only", FORMS[1]) == ["--modalities", "action_units"]


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="out of audio_only, .*tacfn_mean_one.*got 'tacfm'"):
        method_options("tacfm", {})


def test_the_plan_holds_every_method_under_every_protocol(config, tmp_path):
    jobs = plan(
        ["tacfn", "audio_only"], ["plain", "speaker-normalised"], [0, 2], [5], ["--config", str(config)], tmp_path
    )
    assert [(job.name, job.protocol) for job in jobs] == [
        ("tacfn", "plain"),
        ("audio_only", "plain"),
        ("tacfn", "speaker-normalised"),
        ("audio_only", "speaker-normalised"),
    ]
    text = " ".join(jobs[1].options)
    assert "--fold 0 2" in text
    assert "--seeds 5" in text
    assert "--all_folds" not in text


@pytest.mark.slow
def test_finished_jobs_become_a_results_file_tables_and_a_picture(config, tmp_path):
    jobs = plan(["tacfn", "audio_only"], ["plain"], [0, 1], [0], ["--config", str(config)], tmp_path)
    for job in jobs:
        experiment.main(job.options)
    write_comparison(jobs, tmp_path, with_missing=True)
    stored = json.loads((tmp_path / "results.json").read_text())["results"]
    assert {item["name"] for item in stored} == {"tacfn", "audio_only"}
    for item in stored:
        assert item["summary"]["folds"] == [0, 1]
        assert item["summary"]["num_speakers"] == 2
        assert item["seconds_per_clip"] > 0
        assert (item["paired"] is None) == (item["name"] == "tacfn")
    assert (tmp_path / "table.tex").read_text().startswith(r"\begin{tabular}")
    assert (tmp_path / "table.md").read_text().count("\n| tacfn") == 3
    assert (tmp_path / "comparison.png").stat().st_size > 5000
    by_name = {item["name"]: {score["condition"]: score["war"] for score in item["missing"]} for item in stored}
    for item in stored:
        assert by_name[item["name"]]["both"] == item["summary"]["war"]
    assert list(by_name["tacfn"])[:3] == ["both", "sound only", "face only"]
    assert "noise -5 dB" in by_name["audio_only"]
    assert "face only" not in by_name["audio_only"]
    assert "| tacfn | plain |" in (tmp_path / "missing.md").read_text()
    assert (tmp_path / "missing.png").stat().st_size > 5000


@pytest.mark.slow
def test_clips_of_a_speaker_are_worth_what_a_user_would_see(config, tmp_path):
    jobs = plan(["tacfn"], ["plain", "speaker-normalised"], [1], [0], ["--config", str(config)], tmp_path)
    for job in jobs:
        experiment.main(job.options)
    stored = {item["protocol"]: item for item in write_comparison(jobs, tmp_path, with_adaptation=True)["results"]}
    assert "adaptation" not in stored["plain"]
    curve = stored["speaker-normalised"]["adaptation"]
    assert [(point["clips"], point["num_runs"]) for point in curve] == [
        (0, 1), (1, 5), (2, 5), (5, 5), (10, 1), (20, 1), (60, 1)
    ]  # fmt: skip
    assert (tmp_path / "adaptation.md").read_text().startswith("| Method | 0 | 1 | 2 | 5 | 10 | 20 | 60 |")
    assert (tmp_path / "adaptation.png").stat().st_size > 5000

    folder = jobs[1].folder
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    predictions = json.loads((folder / "results.json").read_text())["runs"][0]["predictions"]
    corpus, _, _ = experiment.load_inputs(parse_arguments(jobs[1].options))
    rows = {row["clip_id"]: row for row in corpus}

    def is_right(item):
        row = rows[item["clip_id"]]
        given = processor(audio=row["audio"], features=row["features"])
        return model(**given).logits.argmax().item() == item["label"]

    assert curve[0]["war"]["pooled"] == pytest.approx(np.mean([is_right(item) for item in predictions]))


@pytest.mark.slow
def test_the_command(config, tmp_path, capsys):
    output = tmp_path / "grid"
    command = ["compare", "--config", str(config), "--seeds", "0", "--folds", "0", "1", "--output_dir", str(output)]
    assert main([*command, "--methods", "tacfn", "audio_only"]) == 0
    assert "| audio_only |" in capsys.readouterr().out
    assert (output / "results.json").exists()
    weights = output / "tacfn_plain" / "fold_0_seed_0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert main([*command, "--methods", "tacfn"]) == 0
    assert weights.stat().st_mtime_ns == before


@pytest.mark.slow
def test_one_failing_method_does_not_stop_the_others(config, tmp_path):
    methods = ["cfn_sr", "tacfn"]  # the block of CFN-SR needs a video map, and these are features
    results, failed = compare(["--config", str(config)], tmp_path / "grid", methods, folds=[0], seeds=[0])
    assert [job.name for job in failed] == ["cfn_sr"]
    assert [item["name"] for item in results["results"]] == ["tacfn"]
    assert "positions of a video map; it is not defined" in failed[0].log.read_text()
    with pytest.raises(ValueError, match="all failed"):
        compare(["--config", str(config)], tmp_path / "other", ["cfn_sr"], folds=[0], seeds=[0])


def test_a_mistake_is_said_before_anything_is_trained(config, tmp_path, capsys):
    assert (
        main(["compare", "--config", str(config), "--methods", "tacfm", "--output_dir", str(tmp_path / "grid")]) == 1
    )
    with pytest.raises(SystemExit):
        main(["compare", "--config", str(config), "--output_dir", str(tmp_path / "grid"), "--", "--epocs", "3"])
    config.write_text(
        config.read_text().replace("num_attention_heads: 2", "num_attention_heads: 2\n  reinforced: [nobody]")
    )
    ablated = ["--methods", "tacfn_no_weight", "--output_dir", str(tmp_path / "grid")]
    assert main(["compare", "--config", str(config), *ablated]) == 1
    assert "`reinforced` names ['nobody']" in capsys.readouterr().err
    assert not (tmp_path / "grid").exists()


def test_finished_trainings_are_counted(tmp_path):
    several, single, none = (Job(name, "plain", tmp_path / name) for name in ("several", "single", "none"))
    for folder in (several.folder / "fold_0_seed_0", several.folder / "fold_1_seed_0", several.folder, single.folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text("{}")
    assert finished_runs([several, single, none]) == 3
