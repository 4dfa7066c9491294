"""`train.py --learning_check`: a run scored on its own training clips, which says so everywhere; and real pixels."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from test_results import LABELS, make_runs
from test_train import OPTIONS
from tone_corpus import SPEAKERS, TAKES, write_tones
from transformers import AutoModel, AutoProcessor

from dataset_scripts.base import CORPORA
from dataset_scripts.folds import learning_check_indices, split_indices
from dataset_scripts.ravdess import parse_ravdess_name
from modeling_tacfn import TacfnConfig, TacfnModel, TacfnProcessor, experiment
from modeling_tacfn.prediction import predict
from modeling_tacfn.results import make_results, results_table
from tacfn import main as tacfn


CONFIG = Path(__file__).parents[1] / "configs" / "learning_check.yaml"
NUM_CLIPS = 2 * SPEAKERS * TAKES
NO_SPLIT = {name: value for name, value in OPTIONS.items() if name not in ("num_folds", "validation_speakers")}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tones")
    write_tones(root / "corpus")
    return root


@pytest.fixture
def command(shared, tmp_path, monkeypatch):
    """Arguments of a learning check on a few tones, with some options changed."""
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", shared / "datasets")

    def make(*extra, run="run", **changes):
        options = NO_SPLIT | {"data_dir": str(shared / "corpus"), "cache_dir": str(shared / "prepared")} | changes
        config = tmp_path / f"{run}.yaml"
        config.write_text(yaml.safe_dump(options))
        return ["--learning_check", "--config", str(config), "--output_dir", str(tmp_path / run), *map(str, extra)]

    return make


def test_everything_that_is_written_says_what_was_scored(command, tmp_path, monkeypatch, capsys):
    titles, save = [], Figure.savefig

    def note_titles(figure, *arguments, **options):
        titles.extend(axes.get_title() for axes in figure.axes)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", note_titles)
    experiment.main(command())
    said = capsys.readouterr().out
    assert "(learning check), the clips it was trained on" in said
    assert "says nothing about people" in said
    assert "never seen" not in said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["protocol"] == "learning check"
    (run,) = results["runs"]
    assert run["clips"] == {"train": NUM_CLIPS, "validation": 0, "test": NUM_CLIPS}
    assert run["splits"]["train"] == run["splits"]["test"] == ["s0", "s1", "s2", "s3"]
    assert len({row["clip_id"] for row in run["predictions"]}) == NUM_CLIPS
    assert [entry["best"] for entry in run["history"]] == [False, False, True]
    assert not any("validation" in key for entry in run["history"] for key in entry)
    for summary in (results["summary"], *results["single_modality"].values()):
        assert summary["war"]["interval_95"] is None
    assert "Learning check: clips it was trained on" in titles
    assert "Speakers never seen in training" not in titles
    table = results_table([results])
    assert "A learning check scores the very clips" in table
    row = table.splitlines()[2]
    assert "| learning check |" in row
    assert "| no split, 1 seed |" in row
    assert tacfn(["info", str(tmp_path / "run")]) == 0
    assert "protocol learning check" in capsys.readouterr().out


def test_the_usual_run_does_not_say_so(command):
    results = experiment.main([*command(validation_speakers=0, epochs=1), "--no-learning_check"])
    assert results["protocol"] == "plain"
    assert results["runs"][0]["splits"]["test"] == ["s0"]
    assert "learning check" not in (json.dumps(results) + results_table([results])).lower()


def test_resumed_it_stays_a_learning_check(command):
    whole = experiment.main(command(epochs=1))
    with pytest.raises(SystemExit, match="protocol: 'learning check' → 'plain'"):
        experiment.main([*command("--resume", epochs=1), "--no-learning_check"])
    assert experiment.main(command("--resume", epochs=1))["runs"] == whole["runs"]


@pytest.mark.slow
def test_several_seeds_are_summed_up(command, tmp_path):
    results = experiment.main(command("--seeds", 0, 1, epochs=1))
    assert [run["seed"] for run in results["runs"]] == [0, 1]
    assert "| no split, 2 seeds |" in results_table([results])
    alone = json.loads((tmp_path / "run" / "fold_0_seed_1" / "results.json").read_text())
    assert alone["protocol"] == "learning check"


@pytest.mark.parametrize(
    ("extra", "changes", "message"),
    [
        (["--all_folds"], {}, "--all_folds"),
        (["--fold", 1], {}, "--fold"),
        ([], {"num_folds": 4, "validation_speakers": 1}, "--num_folds, --validation_speakers"),
        ([], {"protocol": "speaker-normalised"}, "--protocol"),
    ],
)
def test_options_that_contradict_it_are_refused(command, tmp_path, capsys, extra, changes, message):
    with pytest.raises(SystemExit):
        experiment.main(command(*extra, **changes))
    error = capsys.readouterr().err
    assert message in error
    assert "leave out" in error
    assert not (tmp_path / "run").exists()


def test_a_corpus_of_one_speaker_is_told_of_it():
    rows = {"clip_id": ["a", "b"], "speaker_id": ["05", "05"], "utterance_group": ["a", "b"], "fold": [0, 0]}
    corpus = datasets.Dataset.from_dict(rows)
    with pytest.raises(ValueError, match="at least two speakers.*speaker 05.*--learning_check"):
        split_indices(corpus, 0)
    assert learning_check_indices(corpus) == {"train": [0, 1], "validation": [], "test": [0, 1]}


def test_results_of_seen_speakers_cannot_be_passed_off_as_others():
    (run,) = make_runs(num_speakers=2, num_folds=1)
    apart, shared = {"train": ["8"], "test": ["0", "1"]}, {"train": ["0", "8"], "test": ["0", "1"]}
    with pytest.raises(ValueError, match="'learning check'.*received 'plain'.*shares 0"):
        make_results("TACFN", "synthetic", LABELS, [run | {"splits": shared}])
    make_results("TACFN", "synthetic", LABELS, [run | {"splits": shared}], protocol="learning check")
    make_results("TACFN", "synthetic", LABELS, [run | {"splits": apart}])


# Recordings of one actor


@pytest.mark.real_data
@pytest.mark.slow
def test_it_learns_from_real_faces_and_recognises_a_clip_it_has_seen(real_data, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    crops, run_folder = real_data / "ravdess" / "actor05_face_crops", tmp_path / "run"
    # Smaller pictures and fewer epochs than the file says, so that the test takes a minute.
    reduced = ["--epochs", "14", "--video_processor", "{size: {height: 64, width: 64}}", "--report_to", "none"]
    folders = ["--data_dir", str(crops), "--cache_dir", str(tmp_path / "prepared"), "--output_dir", str(run_folder)]
    results = experiment.main(["--config", str(CONFIG), *reduced, *folders])
    (run,) = results["runs"]
    assert run["clips"]["test"] == 60
    losses = [entry["train_loss"] for entry in run["history"]]
    assert losses[0] > 1.6  # ln 8 = 2.08 knows nothing
    assert np.mean(losses[-3:]) < losses[0] / 2
    assert results["summary"]["war"]["mean"] > 0.6

    model, processor = AutoModel.from_pretrained(run_folder).eval(), AutoProcessor.from_pretrained(run_folder)
    surest = max(run["predictions"], key=lambda row: row["probabilities"][row["label"]])
    prediction = predict(model, processor, crops / f"{surest['clip_id']}.mp4")
    assert prediction.emotion == parse_ravdess_name(surest["clip_id"]).label
    assert prediction.scores[prediction.emotion] == pytest.approx(surest["probabilities"][surest["label"]], abs=1e-3)
    assert prediction.inputs()["sound"]
    assert prediction.inputs()["frames"] == 15


@pytest.mark.real_data
def test_the_published_network_runs_on_original_clips_of_two_lengths(real_data):
    folder = real_data / "ravdess" / "video_720p" / "Actor_05"
    clips = [folder / "01-01-01-01-02-01-05.mp4", folder / "01-01-04-02-02-01-05.mp4"]
    torch.manual_seed(0)
    model, processor = TacfnModel(TacfnConfig()).eval(), TacfnProcessor()
    assert model.num_parameters() == 26_301_417
    together = processor(videos=clips)
    assert together["pixel_values_videos"].shape == (2, 30, 3, 224, 224)
    assert together["video_mask"].all()
    first, second = together["audio_mask"].sum(1).tolist()
    assert 0 < first != second > 0
    with torch.no_grad():
        batched = model(**together).logits
        alone = torch.cat([model(**processor(videos=clip)).logits for clip in clips])
    assert alone.shape == (2, 8)
    assert alone.isfinite().all()
    scale = alone.abs().max()
    assert (alone[0] - alone[1]).abs().max() > 1e-3 * scale, "the answer does not depend on the clip"
    torch.testing.assert_close(batched, alone, atol=1e-4 * scale.item(), rtol=0)
