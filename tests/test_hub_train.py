# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""`train.py --push_to_hub`: after the training and never at its cost; what is known to fail fails before it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import yaml
from hub_server import OTHER_TOKEN, WRITE_TOKEN, use_hub
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones

from dataset_scripts.base import CORPORA
from modeling_tacfn import experiment
from modeling_tacfn.prediction import load
from tacfn import main


ROOT = Path(__file__).resolve().parents[1]
NAME = "someone/tacfn-tones"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = use_hub(monkeypatch, tmp_path / "home")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def options(tmp_path) -> list[str]:
    corpus = write_tones(tmp_path / "corpus")
    settings = {"dataset": "tones", "model": NETWORK, "audio_processor": AUDIO_PROCESSOR, "epochs": 1, "num_folds": 2}
    settings |= {"cache_dir": str(tmp_path / "cache"), "batch_size": 6, "validation_speakers": 0, "report_to": "none"}
    config = tmp_path / "tones.yaml"
    config.write_text(yaml.safe_dump(settings | {"data_dir": str(corpus)}))
    return ["--config", str(config), "--output_dir", str(tmp_path / "run")]


def test_what_was_trained_is_pushed(hub, options, tmp_path, capsys):
    experiment.main([*options, "--push_to_hub", "--hub_model_id", NAME])
    assert f"{hub.url}/{NAME}" in capsys.readouterr().out
    repository = hub.repositories["model", NAME]
    assert repository.is_private
    files = repository.files()
    assert {"config.json", "model.safetensors", "processor_config.json", "results.json", "learning_curve.png"} <= set(
        files
    )
    assert {"training_arguments.json", "confusion_matrix.png", "modeling_tacfn.py", "README.md"} <= set(files)
    for name, content in files.items():
        assert str(tmp_path).encode() not in content, name
    command = json.loads(files["results.json"])["environment"]["command"]
    assert command == f"train.py --config tones.yaml --output_dir run --push_to_hub --hub_model_id {NAME}"
    settings = json.loads((tmp_path / "run" / "training_arguments.json").read_text())
    assert not [name for name in settings if "hub" in name], "another name on the Hub is no other training"
    loaded, local = load(NAME)[0].state_dict(), load(tmp_path / "run")[0].state_dict()
    assert all(loaded[name].equal(value) for name, value in local.items())


def test_a_push_that_fails_leaves_the_results_and_can_be_repeated(hub, options, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    results = experiment.main([*options, "--push_to_hub", "--hub_model_id", NAME, "--no-hub_private"])
    assert results["runs"]
    said = capsys.readouterr().err
    assert "The training is done and saved" in said
    assert f"tacfn push {tmp_path / 'run'} {NAME} --public" in said
    assert not hub.repositories
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    weights = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    experiment.main([*options, "--resume", "--push_to_hub", "--hub_model_id", NAME, "--hub_revision", "v1"])
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == weights, "trained again"
    assert "model.safetensors" in hub.repositories["model", NAME].files("v1")


@pytest.mark.parametrize(
    ("more", "token", "message"),
    [
        ([], WRITE_TOKEN, "--push_to_hub needs --hub_model_id"),
        (["--hub_model_id", NAME], "", "expected a token of the Hub"),
        (["--hub_model_id", "no name"], WRITE_TOKEN, "expected owner/name"),
        (["--hub_model_id", NAME, "--hub_revision", "0" * 40], WRITE_TOKEN, "commits never change"),
        (["--hub_model_id", NAME, "--all_folds"], WRITE_TOKEN, "--run fold_"),
        (["--hub_model_id", NAME, "--seeds", "0", "1"], WRITE_TOKEN, "pushes one network"),
    ],
)
def test_what_must_fail_fails_before_the_training(hub, options, tmp_path, capsys, monkeypatch, more, token, message):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SystemExit):
        experiment.main([*options, "--push_to_hub", *more])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_run_of_a_grid(hub, options, tmp_path, capsys):
    experiment.main([*options, "--all_folds"])
    assert main(["push", str(tmp_path / "run"), NAME]) == 1
    assert "holds 2 trained networks" in capsys.readouterr().err
    assert main(["push", str(tmp_path / "run"), NAME, "--run", "fold_1_seed_0"]) == 0
    stored = json.loads(hub.repositories["model", NAME].files()["results.json"])
    assert [run["fold"] for run in stored["runs"]] == [1]


@pytest.mark.slow
def test_two_processes_push_once(hub, options, tmp_path):
    variables = {"ACCELERATE_USE_CPU": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    program = tmp_path / "train_tones.py"
    program.write_text(
        "import modeling_tacfn\n"
        "from dataset_scripts.base import CORPORA\n"
        "CORPORA['tones'] = 'tone_corpus:Tones'\n"
        "from modeling_tacfn.experiment import main\n"
        "main()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(program), *options]
    command += ["--push_to_hub", "--hub_model_id", NAME]
    environment = os.environ | variables | {"HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(hub.repositories["model", NAME].commits) == 2
    assert len([path for method, path, _ in hub.requests if method == "POST" and "/preupload/" in path]) == 1
    assert WRITE_TOKEN not in done.stdout + done.stderr
