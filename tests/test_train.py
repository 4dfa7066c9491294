"""Training end to end on a corpus of a few sine tones: what is written, resumption, refusals, protocols."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
import transformers
import yaml
from author_checkpoints import made_up_weights, resnext_shapes
from tiny_models import CONFIGS
from tone_corpus import AUDIO_PROCESSOR, NETWORK, TAKES, UNITS, Tones, write_tones

from dataset_scripts.base import CORPORA
from modeling_tacfn import BaselineModel, CfnSrConfig, CfnSrModel, TacfnModel, TacfnProcessor, experiment
from modeling_tacfn import training as training_module
from modeling_tacfn.prosody import PROSODY_NAMES
from modeling_tacfn.tasks import EmotionTask
from modeling_tacfn.train_options import parse_arguments


OPTIONS = {
    "dataset": "tones",
    "model": NETWORK,
    "audio_processor": AUDIO_PROCESSOR,
    "num_folds": 4,
    "validation_speakers": 1,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.01,
    "num_proc": 1,
    "report_to": "none",
    "augmentation": {
        "modality_dropout": 0.3,
        "feature_noise": 0.1,
        "time_masks": 1,
        "time_mask_size": 2,
        "mixup": 0.2,
    },
}
# The same weights whatever the number of processes: nothing is drawn in training.
DROPOUTS = [f"{part}_dropout" for part in ("attention", "activation", "hidden", "embedding", "classifier")]
SOUND = np.sin(np.arange(8000))
DETERMINISTIC = {"augmentation": {}, "model": NETWORK | dict.fromkeys(DROPOUTS, 0.0)}


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The corpus and the caches, made once."""
    root = tmp_path_factory.mktemp("tones")
    write_tones(root / "corpus")
    return root


@pytest.fixture(autouse=True)
def corpus(shared, monkeypatch):
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setitem(CORPORA, "bare_tones", "tone_corpus:BareTones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", shared / "datasets")


@pytest.fixture
def command(shared, tmp_path):
    """Arguments of `train.main` for a run, from a YAML file with some options changed."""

    def make(*extra, run="run", **changes):
        options = OPTIONS | {"data_dir": str(shared / "corpus"), "cache_dir": str(shared / "prepared")} | changes
        config = tmp_path / f"{run}.yaml"
        config.write_text(yaml.safe_dump(options, sort_keys=False))
        return ["--config", str(config), "--output_dir", str(tmp_path / run), *map(str, extra)]

    return make


def weights(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def assert_same_run(one: Path, other: Path):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    records = [json.loads((folder / "results.json").read_text())["runs"] for folder in (one, other)]
    for runs in records:
        for run in runs:
            for entry in run["history"]:
                entry.pop("seconds")
    assert records[0] == records[1]


def stop_after(monkeypatch, epochs: int):
    """Make the run die as soon as that many checkpoints are whole."""
    saved, real = [], training_module.save_checkpoint

    def save_and_stop(*arguments):
        real(*arguments)
        saved.append(1)
        if len(saved) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_module, "save_checkpoint", save_and_stop)


@pytest.mark.parametrize("fusion", ["averaging", "mcbp", "msaf"])
def test_a_baseline_is_trained_and_loads_as_the_network_does(command, tmp_path, fusion):
    changes = {"network": "tacfn_baseline", "model": NETWORK | {"fusion": fusion, "sketch_size": 32}}
    experiment.main(command(**changes, epochs=2, ema_decay=0.9))
    folder = tmp_path / "run"
    model, processor = (getattr(transformers, name).from_pretrained(folder) for name in ("AutoModel", "AutoProcessor"))
    assert (type(model), model.config.fusion, type(processor)) == (BaselineModel, fusion, TacfnProcessor)
    assert model.fusion.standardizers["units"].std.ne(1).any()
    if fusion == "mcbp":
        assert model.fusion.mix.sketches["units"].sign.abs().eq(1).all()


def test_a_run_leaves_a_model_pictures_and_results(command, tmp_path, capsys):
    results = experiment.main(command())
    folder = tmp_path / "run"
    left = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "results.json", "learning_curve.png", "confusion_matrix.png"} <= left
    assert not {name for name in left if name.startswith((".", "checkpoint"))}
    model, processor = TacfnModel.from_pretrained(folder), TacfnProcessor.from_pretrained(folder)
    assert model.config.id2label == {0: "calm", 1: "angry"}
    assert processor.feature_columns == {"units": UNITS}
    assert processor.feature_extractor.sampling_rate == 8000
    saved = json.loads((folder / "results.json").read_text())
    assert saved["summary"] == json.loads(json.dumps(results["summary"]))
    (run,) = saved["runs"]
    assert run["splits"]["test"] == ["s0"]
    assert not set(run["splits"]["train"]) & {*run["splits"]["validation"], "s0"}
    assert [entry["epoch"] for entry in run["history"]] == [0, 1, 2]
    assert set(run["single_modality"]) == {"audio only", "units only"}
    said = capsys.readouterr().out
    assert "WAR" in said
    assert str(folder) in said


def test_the_saved_model_gives_the_recorded_probabilities(command, shared, tmp_path):
    experiment.main(command())
    folder = tmp_path / "run"
    model, processor = TacfnModel.from_pretrained(folder).eval(), TacfnProcessor.from_pretrained(folder)
    builder = Tones(data_dir=shared / "corpus", cache_dir=shared / "datasets")
    units = {row["clip_id"]: row["features"]["units"] for row in builder.found.rows}
    for row in json.loads((folder / "results.json").read_text())["runs"][0]["predictions"]:
        name = row["clip_id"]
        inputs = processor(audio=str(shared / "corpus" / f"{name}.wav"), features={"units": np.array(units[name])})
        with torch.no_grad():
            probabilities = model(**inputs).logits.softmax(1)[0]
        np.testing.assert_allclose(probabilities, row["probabilities"], atol=2e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"ema_decay": 0.5, "gradient_accumulation_steps": 2}], ids=["plain", "average"]
)
@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_stopped_run_goes_on_to_the_same_weights(command, tmp_path, monkeypatch, epochs, changes):
    experiment.main(command(run="whole", **changes))
    with monkeypatch.context() as patch:
        stop_after(patch, epochs)
        with pytest.raises(KeyboardInterrupt):
            experiment.main(command(run="stopped", **changes))
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    experiment.main(command("--resume", run="stopped", **changes))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the new checkpoint takes its place", "before results.json"])
def test_killed_at_a_bad_moment_nothing_is_lost(command, tmp_path, monkeypatch, moment):
    experiment.main(command(run="whole"))
    with monkeypatch.context() as patch:
        if moment == "before results.json":
            real = experiment.save_json_atomic

            def save_json(path, values):
                if path.name == experiment.RUN_RESULTS:
                    raise KeyboardInterrupt
                real(path, values)

            patch.setattr(experiment, "save_json_atomic", save_json)
        else:
            real_rename, seen = os.rename, []

            def rename(source, target, **options):
                if Path(source).name == ".checkpoint.part":
                    seen.append(source)
                    if len(seen) == 2:
                        raise KeyboardInterrupt
                real_rename(source, target, **options)

            patch.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            experiment.main(command(run="stopped"))
    trained = []
    real_epoch = training_module.train_epoch
    monkeypatch.setattr(training_module, "train_epoch", lambda *given: (trained.append(1), real_epoch(*given))[1])
    experiment.main(command("--resume", run="stopped"))
    assert len(trained) == (0 if moment == "before results.json" else 2)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_resuming_a_finished_run_trains_nothing(command, tmp_path, monkeypatch):
    # A number that JSON and YAML write in ways that the other reads as text.
    small = {"audio_processor": AUDIO_PROCESSOR | {"minimum_power": 1e-6}}
    first = experiment.main(command(**small))
    monkeypatch.setattr(training_module, "train_epoch", None)
    assert experiment.main(command("--resume", **small))["summary"] == first["summary"]


def test_a_run_from_before_an_option_existed_goes_on(command, tmp_path, monkeypatch):
    experiment.main(command())
    (path,) = tmp_path.rglob("training_arguments.json")
    stored = json.loads(path.read_text())
    del stored["task"]
    path.write_text(json.dumps(stored))
    monkeypatch.setattr(training_module, "train_epoch", None)
    experiment.main(command("--resume"))
    with pytest.raises(SystemExit, match="task: 'emotion' → 'sentiment'"):
        experiment.main(command("--resume", "--task", "sentiment"))


def test_resuming_with_other_options_is_refused(command):
    experiment.main(command(epochs=1))
    with pytest.raises(SystemExit, match=r"epochs: 1 → 2"):
        experiment.main(command("--resume", epochs=2))


def test_a_second_run_into_the_same_folder_is_refused(command):
    experiment.main(command(epochs=1))
    with pytest.raises(SystemExit, match="already holds a run.*--resume"):
        experiment.main(command(epochs=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": NETWORK | {"hiden_size": 8}}, "no fields.*hiden_size.*hidden_size"),
        ({"augmentation": {"flipp": 1}}, "Unknown augmentation.*flipp.*flip"),
        ({"fold": 9}, "fold from 0 to 3, received 9"),
        ({"corpus": {"colour": "red"}}, "no option colour"),
        ({"modalities": ["lips"]}, r"has only \['audio', 'units'\]"),
        ({"network": "tacfm"}, "tacfm"),
    ],
)
def test_a_mistake_is_named_and_the_folder_stays_free(command, tmp_path, changes, message):
    with pytest.raises((ValueError, SystemExit), match=message):
        experiment.main(command(**changes))
    experiment.main(command(epochs=1))
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epocs": 3}, "unknown options ['epocs']"),
        ({"protocol": "cheating"}, "protocol"),
        ({"dataset": "tunes"}, "tunes"),
        ({"epochs": "ten"}, "epochs"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"num_workers": -1}, "--num_workers must be 0 or more"),
        ({"compile": "fast"}, "--compile must be a backend"),
        ({"model": 3}, "model"),
    ],
)
def test_a_wrong_configuration_file_is_refused_before_anything_starts(command, capsys, changes, message):
    with pytest.raises(SystemExit):
        experiment.main(command(**changes))
    assert message in capsys.readouterr().err


def test_a_command_line_option_wins_over_the_file(command):
    arguments = parse_arguments(command("--epochs", 9, "--model", "{hidden_size: 12}", seeds=3))
    assert (arguments.epochs, arguments.seeds) == (9, [3])
    assert arguments.model == NETWORK | {"hidden_size": 12}


def test_a_wrong_corpus_folder_is_named(command, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"s1_calm_0\.wav.*does not exist"):
        experiment.main(command(data_dir=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="found nothing"):
        experiment.main(command(data_dir=str(tmp_path / "empty")))


@pytest.mark.slow
def test_all_folds_and_two_seeds_test_every_speaker_once_per_seed(command, tmp_path):
    results = experiment.main(command("--all_folds", "--seeds", 0, 1, epochs=1))
    assert len(results["runs"]) == 8
    for seed in (0, 1):
        tested = [name for run in results["runs"] if run["seed"] == seed for name in run["splits"]["test"]]
        assert sorted(tested) == ["s0", "s1", "s2", "s3"]
    for metric in ("war", "uar"):
        summary = results["summary"][metric]
        assert summary["sd"] is not None
        low, high = summary["interval_95"]
        assert 0 <= low <= high <= 1
    assert (tmp_path / "run" / "fold_3_seed_1" / "model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["summary"]["seeds"] == [0, 1]


@pytest.mark.slow
def test_all_folds_go_on_with_the_fold_that_was_not_finished(command, tmp_path, monkeypatch):
    experiment.main(command("--all_folds", run="whole", epochs=1))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            experiment.main(command("--all_folds", run="stopped", epochs=1))
    experiment.main(command("--all_folds", "--resume", run="stopped", epochs=1))
    for fold in range(4):
        name = f"fold_{fold}_seed_0"
        assert_same_run(tmp_path / "whole" / name, tmp_path / "stopped" / name)


@pytest.mark.slow
def test_processes_that_make_batches_change_nothing(command, tmp_path):
    """However many there are: a second epoch must not find them where the first left them. One more draws as they do."""
    augmentation = OPTIONS["augmentation"] | {"speaker_shift": 0.5, "feature_exchange": {"units": 0.5}}
    experiment.main(command("--num_workers", 1, augmentation=augmentation))
    experiment.main(command("--num_workers", 2, augmentation=augmentation, run="helped"))
    assert_same_run(tmp_path / "run", tmp_path / "helped")


@pytest.mark.slow
def test_a_compiled_run_goes_on_without_the_compiler(command, tmp_path, monkeypatch):
    options = DETERMINISTIC | {"ema_decay": 0.5}
    experiment.main(command(**options, run="plain"))
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        with pytest.raises(KeyboardInterrupt):
            experiment.main(command("--compile", "aot_eager", "--channels_last", 1, **options))
    experiment.main(command("--resume", **options))
    plain, resumed = weights(tmp_path / "plain"), weights(tmp_path / "run")
    assert plain.keys() == resumed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_on_a_gpu_with_everything_that_is_fast(command):
    fast = (
        "--mixed_precision",
        "bf16",
        "--num_workers",
        2,
        "--channels_last",
        1,
        "--compile",
        "inductor",
        "--tf32",
        1,
    )
    (run,) = experiment.main(command(*fast, epochs=1))["runs"]
    assert np.isfinite(run["history"][0]["train_loss"])
    assert len(run["predictions"]) == 2 * TAKES


def test_early_stopping(command):
    (run,) = experiment.main(command(epochs=30, patience=2, learning_rate=1e-9))["runs"]
    assert len(run["history"]) == run["best_epoch"] + 3 < 30


def test_of_equally_good_epochs_the_surest_is_kept():
    epochs = [{"validation_uar": uar, "validation_loss": loss} for uar, loss in ((0.9, 0.2), (1.0, 0.5), (1.0, 0.4))]
    assert sorted([epochs[2], epochs[0], epochs[1]], key=EmotionTask([]).judgement) == epochs


def test_one_modality_alone(command, tmp_path):
    (run,) = experiment.main(command("--modalities", "units", epochs=1))["runs"]
    assert TacfnModel.from_pretrained(tmp_path / "run").config.feature_sizes == {"units": 5}
    assert "single_modality" not in run
    # The saved processor gives the network what it knows, and nothing else.
    processor = TacfnProcessor.from_pretrained(tmp_path / "run")
    batch = processor(audio=SOUND, features={"units": np.ones(5, np.float32)}, sampling_rate=8000)
    assert TacfnModel.from_pretrained(tmp_path / "run")(**batch).logits.isfinite().all()


def test_clips_without_the_one_modality_that_is_kept(command, tmp_path):
    """Training learns nothing from them, and as test clips they may be anything."""
    corpus = write_tones(tmp_path / "corpus")
    for mute in (corpus / "s0_calm_0.wav", *corpus.glob("s1_*.wav")):
        soundfile.write(mute, np.zeros(8000), 8000)
    (run,) = experiment.main(command("--modalities", "audio", epochs=1, batch_size=2, data_dir=str(corpus)))["runs"]
    tested = {row["clip_id"]: row["probabilities"] for row in run["predictions"]}
    assert tested["s0_calm_0"] == [0.5, 0.5]
    assert tested["s0_calm_1"] != [0.5, 0.5]


def test_cfn_sr_trains_from_published_video_weights(command, tmp_path, capsys):
    sizes = CONFIGS["cfn_sr"] | {"audio_coefficients": 6}
    start = made_up_weights(resnext_shapes(CfnSrConfig(**sizes)))
    torch.save({"state_dict": start}, tmp_path / "kinetics.pth")
    sizes = {key: list(value) if isinstance(value, tuple) else value for key, value in sizes.items()}
    changes = {"dataset": "bare_tones", "network": "cfn_sr", "model": sizes}
    experiment.main(command("--init_video_encoder", tmp_path / "kinetics.pth", **changes))
    assert "Video encoder: " in capsys.readouterr().out
    model = CfnSrModel.from_pretrained(tmp_path / "run")
    # The clips have no pictures, so nothing but the file can have set these.
    assert torch.equal(model.fusion.video_encoder.stem.weight, start["conv1.weight"])
    wide = changes | {"model": sizes | {"video_stem_channels": 12}}
    wrong = command("--init_video_encoder", tmp_path / "kinetics.pth", run="wide", **wide)
    with pytest.raises(SystemExit, match=r"--init_video_encoder .* instead of \(12, 3, 7, 7, 7\)"):
        experiment.main(wrong)
    assert not (tmp_path / "wide").exists()


@pytest.mark.parametrize("kept", [["audio", "prosody", "units"], ["prosody"]])
def test_prosody_is_heard_by_the_saved_processor_too(command, tmp_path, kept):
    network = NETWORK | {"feature_sizes": {"audio": 6, "prosody": len(PROSODY_NAMES), "units": 5}}
    network["static_features"] = ["prosody", "units"]
    experiment.main(command("--modalities", *kept, epochs=1, model=network))
    model = TacfnModel.from_pretrained(tmp_path / "run").eval()
    batch = TacfnProcessor.from_pretrained(tmp_path / "run")(audio=SOUND, sampling_rate=8000)
    assert batch["features"].keys() == {"prosody"}
    assert ("input_features" in batch) == ("audio" in kept)
    assert model(**batch).logits.isfinite().all()


def test_speaker_normalised(command, tmp_path):
    results = experiment.main(command("--protocol", "speaker-normalised", epochs=1))
    assert results["protocol"] == "speaker-normalised"
    processor = TacfnProcessor.from_pretrained(tmp_path / "run")
    assert processor.is_speaker_normalized
    assert {name: len(usual["mean"]) for name, usual in processor.speaker_prior.items()} == {"audio": 6, "units": 5}
    batch = processor(audio=SOUND, features={"units": np.ones(5, np.float32)}, sampling_rate=8000)
    assert TacfnModel.from_pretrained(tmp_path / "run").eval()(**batch).logits.isfinite().all()


def test_a_diverging_run_says_what_to_lower(command):
    with pytest.raises(FloatingPointError, match="learning_rate"):
        experiment.main(command(learning_rate=1e30, gradient_clip=1e30))


@pytest.mark.parametrize(
    "what",
    ["the weights", *(pytest.param(what, marks=pytest.mark.slow) for what in ("taking its place", "a checkpoint"))],
)
def test_a_full_disk_leaves_nothing_half_written(command, tmp_path, monkeypatch, what):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        if what == "the weights":
            patch.setattr(TacfnModel, "save_pretrained", full)
        elif what == "taking its place":
            real_replace = os.replace

            def replace(source, target, **options):
                if ".model.part" in str(source):
                    full()
                real_replace(source, target, **options)

            patch.setattr(os, "replace", replace)
        else:
            real, saved = training_module.save_checkpoint, []

            def second_fails(accelerator, *rest):
                saved.append(1)
                if len(saved) == 2:
                    patch.setattr(type(accelerator), "save_state", full)
                return real(accelerator, *rest)

            patch.setattr(training_module, "save_checkpoint", second_fails)
        with pytest.raises(OSError, match="No space left.*--resume"):
            experiment.main(command())
    assert not list(folder.glob("model*"))
    assert not (folder / ".model.part").exists()
    assert (folder / "checkpoint").is_dir()
    experiment.main(command("--resume"))
    experiment.main(command(run="whole"))
    assert_same_run(folder, tmp_path / "whole")


def program(tmp_path: Path, arguments: list[str]):
    """`train.py` in a process of its own, with the corpus of this file."""
    root = Path(__file__).parents[1]
    script = tmp_path / "with_tones.py"
    script.write_text(
        "from dataset_scripts.base import CORPORA\nCORPORA['tones'] = 'tone_corpus:Tones'\n"
        "import train\nif __name__ == '__main__':\n    train.main()\n"
    )
    # A process of pytest's own folder would find another `train`.
    path = os.pathsep.join([str(root), str(root / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_and_resumed(command, tmp_path):
    long = {"epochs": 12, "patience": 12}
    process = program(tmp_path, command(run="killed", **long))
    checkpoint = tmp_path / "killed" / "checkpoint"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = program(tmp_path, command("--resume", run="killed", **long))
    assert resumed.wait() == 0, resumed.stderr.read()
    whole = program(tmp_path, command(run="whole", **long))
    assert whole.wait() == 0, whole.stderr.read()
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
