# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Several processes: the same network as from one, and each process with its own part of the clips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.data_loader import prepare_data_loader
from test_train import DETERMINISTIC, OPTIONS, assert_same_run, weights
from tone_corpus import NETWORK, TAKES, write_tones
from torch.utils.data import DataLoader

from modeling_tacfn import TacfnConfig, TacfnModel
from modeling_tacfn.data import ClipCollator
from modeling_tacfn.prepared_clip import PreparedClip
from modeling_tacfn.sharding import CompleteBatches
from modeling_tacfn.training import EpochSampler


ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "accelerate"
AVERAGED = {"ema_decay": 0.5, "gradient_accumulation_steps": 2}
# Runs of `train.py` one after the other in the same processes, for their start takes longest; "stop" ends one after an epoch.
PROGRAM = """
import json, sys
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from dataset_scripts.base import CORPORA
from modeling_tacfn import experiment, training

CORPORA["tones"] = "tone_corpus:Tones"
Accelerator.end_training = lambda self: None
save = training.save_checkpoint

def save_and_stop(*arguments):
    save(*arguments)
    raise KeyboardInterrupt

for stop, arguments in json.loads(sys.argv[1]):
    training.save_checkpoint = save_and_stop if stop else save
    try:
        experiment.main(arguments)
    except KeyboardInterrupt:
        pass
state = AcceleratorState()
if state.is_main_process:
    print("was", state.distributed_type.name, state.num_processes)
"""


def run_program(folder: Path, runs: list, config: str | None) -> str:
    """Train in one process, or in those of a configuration of accelerate, by pairs (stop, arguments); says which those were."""
    script = folder / "program.py"
    script.write_text(PROGRAM)
    start = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file"] if config else []
    start += [str(CONFIGS / f"{config}.yaml")] if config else []
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["HF_DATASETS_CACHE"] = str(folder / "datasets")
    command = [sys.executable, *start, str(script), json.dumps(runs)]
    done = subprocess.run(command, env=os.environ | environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("was ")[2].strip()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of the same runs made by one process, by two with DDP, and by two with FSDP."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = write_tones(folder / "corpus")
    # All that the first of two processes gets of the first batch: it has no sound where the other one has.
    for name in ("s3_angry_2", "s1_angry_0"):
        soundfile.write(corpus / f"{name}.wav", np.zeros(8000), 8000)
    options = OPTIONS | DETERMINISTIC | {"data_dir": str(corpus)}
    options |= {"cache_dir": str(folder / "prepared"), "batch_size": 4}
    for name, changes in (("plain", {}), ("averaged", AVERAGED)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(options | changes, sort_keys=False))

    def arguments(kind, output, *more):
        return ["--config", str(folder / f"{kind}.yaml"), "--output_dir", str(folder / output), *more]

    for name, config, processes in (
        ("one", None, "NO 1"),
        ("cpu_ddp", "cpu_ddp", "MULTI_CPU 2"),
        ("cpu_fsdp", "cpu_fsdp", "FSDP 2"),
    ):
        both = [(False, arguments(kind, f"{name}_{kind}")) for kind in ("plain", "averaged")]
        stopped = [(True, arguments("averaged", "stopped")), (False, arguments("averaged", "stopped", "--resume"))]
        assert run_program(folder, both + (stopped if name == "cpu_fsdp" else []), config) == processes
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "averaged"])
@pytest.mark.parametrize("name", ["cpu_ddp", "cpu_fsdp"])
def test_two_processes_give_what_one_gives(runs, name, kind):
    folders = [runs / f"{number}_{kind}" for number in ("one", name)]
    first, second = map(weights, folders)
    assert first.keys() == second.keys()
    for key, value in first.items():
        # Adam blows up the rounding errors of gradients that are zero: a softmax forgets what is added to all its scores.
        if not key.endswith(("attention.key.bias", "score.bias")):
            torch.testing.assert_close(
                second[key], value, atol=1e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
            )
    configs = [json.loads((folder / "config.json").read_text()) for folder in folders]
    assert configs[0] == configs[1]
    results = [json.loads((folder / "results.json").read_text()) for folder in folders]
    assert results[0]["summary"]["war"] == results[1]["summary"]["war"]
    assert results[0]["summary"]["uar"] == results[1]["summary"]["uar"]
    rows = [{row["clip_id"]: row["probabilities"] for row in result["runs"][0]["predictions"]} for result in results]
    assert len(results[1]["runs"][0]["predictions"]) == len(rows[0]) == 2 * TAKES
    for clip_id, probabilities in rows[0].items():
        np.testing.assert_allclose(rows[1][clip_id], probabilities, atol=1e-4)


@pytest.mark.slow
def test_a_stopped_run_with_fsdp_goes_on_to_the_same_weights(runs):
    assert_same_run(runs / "cpu_fsdp_averaged", runs / "stopped")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_knows_every_option_of_the_configurations(path):
    options = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    assert set(options.get("fsdp_config", {})) <= set(vars(arguments))
    # An option that it does not know, or one that contradicts another, is an error of its own.
    arguments, _, _ = _validate_launch_command(arguments)
    assert (arguments.multi_gpu, arguments.use_fsdp) == ("fsdp" not in path.stem, "fsdp" in path.stem)
    assert (arguments.num_processes, arguments.num_machines) == (options["num_processes"], options["num_machines"])
    assert arguments.mixed_precision == options["mixed_precision"]


def test_a_process_reads_only_its_part_of_each_batch():
    read = {process: [] for process in (0, 1)}
    for process, mine in read.items():

        def array(index, mine=mine):
            mine.append(index)
            return np.ones((3, 6), np.float32)

        clips = [PreparedClip({"input_features": lambda index=index: array(index)}) for index in range(12)]
        rows = [{"index": index, "clip": clip, "label": 0} for index, clip in enumerate(clips)]
        loader = DataLoader(rows, 4, sampler=EpochSampler(12, 0), collate_fn=ClipCollator(2), drop_last=True)
        parts = prepare_data_loader(loader, num_processes=2, process_index=process, split_batches=True)
        assert [len(batch["index"]) for batch in parts] == [2, 2, 2]
    assert sorted(read[0] + read[1]) == list(range(12))


def test_what_no_clip_of_a_batch_has_is_one_masked_step():
    """With FSDP every process must run all layers; the loss stays that of the batch without it."""
    draw = np.random.default_rng(0)
    arrays = {"feature/units": draw.normal(size=5), "feature/audio": draw.normal(size=(9, 6))}
    whole = PreparedClip.of({name: array.astype(np.float32) for name, array in arrays.items()})
    model = TacfnModel(TacfnConfig(**NETWORK)).eval()
    collator = ClipCollator(2)
    complete = CompleteBatches(collator, [whole])
    for kept in arrays:
        samples = [{"index": index, "clip": whole.only([kept]), "label": index} for index in range(2)]
        batches = [collate(samples) for collate in (collator, complete)]
        assert [len(batch["features"]) for batch in batches] == [1, 2]
        losses = []
        for batch in batches:
            del batch["index"]
            losses.append(model(**batch).loss)
        torch.testing.assert_close(losses[0], losses[1], atol=1e-6, rtol=0)
        model.zero_grad()
        losses[1].backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
