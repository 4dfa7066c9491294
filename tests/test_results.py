"""Aggregation over folds and seeds, uncertainty over speakers, and the file that holds it all."""

import errno
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from modeling_tacfn.files import atomic_path
from modeling_tacfn.results import (
    environment_record,
    load_results,
    make_results,
    overview,
    paired_test,
    results_table,
    save_json_atomic,
    summarize,
)
from modeling_tacfn.scores import uar, war


LABELS = ["neutral", "happy", "sad", "angry"]


def make_runs(accuracy=0.7, num_speakers=10, num_folds=5, seeds=(0,), clips_per_class=4, noise=0, spread=0.0):
    """Runs of a made-up method: `accuracy` of its predictions are right, more for some speakers than for others."""
    runs = []
    for seed, fold in itertools.product(seeds, range(num_folds)):
        generator = np.random.default_rng((noise, seed, fold))
        predictions = []
        for speaker in range(fold, num_speakers, num_folds):
            chance = accuracy + spread * (1 if speaker % 2 else -1)
            for label, take in itertools.product(range(len(LABELS)), range(clips_per_class)):
                answer = label if generator.random() < chance else int(generator.integers(len(LABELS)))
                probabilities = np.full(len(LABELS), 0.1)
                probabilities[answer] = 0.7
                predictions.append(
                    {
                        "clip_id": f"{speaker}-{label}-{take}",
                        "speaker": f"{speaker}",
                        "label": label,
                        "probabilities": probabilities.tolist(),
                    }
                )
        runs.append({"fold": fold, "seed": seed, "predictions": predictions})
    return runs


def run_accuracy(run):
    return np.mean([np.argmax(item["probabilities"]) == item["label"] for item in run["predictions"]])


def test_mean_and_sd_over_runs():
    runs = make_runs(seeds=(0, 1, 2))
    summary = summarize(runs, LABELS, num_draws=100)
    values = [run_accuracy(run) for run in runs]
    assert summary["war"]["mean"] == pytest.approx(np.mean(values))
    assert summary["war"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (summary["num_runs"], summary["num_clips"], summary["num_speakers"]) == (15, 160, 10)
    assert (summary["folds"], summary["seeds"]) == ([0, 1, 2, 3, 4], [0, 1, 2])
    assert np.sum(summary["confusion"]) == 480
    assert summary["per_class"]["happy"]["support"] == 120
    assert summary["per_class"]["happy"]["recall"] == pytest.approx(summary["confusion"][1][1] / 120)
    assert 0 <= summary["expected_calibration_error"] <= 1


def test_the_interval_is_that_of_resampled_speakers():
    runs = make_runs(spread=0.15)
    summary = summarize(runs, LABELS, num_draws=4000, seed=1)
    by_speaker = {}
    for item in itertools.chain.from_iterable(run["predictions"] for run in runs):
        by_speaker.setdefault(item["speaker"], []).append(np.argmax(item["probabilities"]) == item["label"])
    accuracy = np.array([np.mean(values) for values in by_speaker.values()])
    generator = np.random.default_rng(5)
    naive = [accuracy[generator.integers(0, len(accuracy), len(accuracy))].mean() for _ in range(4000)]
    assert summary["war"]["interval_95"] == pytest.approx(np.quantile(naive, (0.025, 0.975)), abs=0.01)
    low, high = summary["war"]["interval_95"]
    assert low < summary["war"]["pooled"] < high


def test_the_interval_widens_with_what_differs_between_speakers_not_with_fewer_clips():
    alike = summarize(make_runs(spread=0.0, clips_per_class=20), LABELS, num_draws=2000)["uar"]["interval_95"]
    different = summarize(make_runs(spread=0.28, clips_per_class=20), LABELS, num_draws=2000)["uar"]["interval_95"]
    assert different[1] - different[0] > 2 * (alike[1] - alike[0])


def test_more_seeds_do_not_make_more_speakers():
    one = make_runs(spread=0.2)
    several = [{**run, "seed": seed} for run in one for seed in range(5)]
    assert summarize(several, LABELS)["uar"]["interval_95"] == pytest.approx(
        summarize(one, LABELS)["uar"]["interval_95"]
    )


def test_repeatable_and_fast():
    runs = make_runs(num_speakers=24, num_folds=6, seeds=(0, 1, 2), clips_per_class=15)
    start = time.perf_counter()
    first = summarize(runs, LABELS)
    assert time.perf_counter() - start < 2
    assert first == summarize(runs, LABELS)
    assert first["uar"]["interval_95"] != summarize(runs, LABELS, seed=1)["uar"]["interval_95"]


def test_one_run_of_one_speaker_has_no_spread():
    summary = summarize(make_runs(num_speakers=1, num_folds=1), LABELS)
    assert summary["uar"]["sd"] is None
    assert summary["uar"]["interval_95"] is None
    assert summary["uar"]["mean"] == summary["uar"]["pooled"]


def test_unfinished_experiments_are_summed_up():
    runs = make_runs(seeds=(0, 1))[:7]
    summary = summarize(runs, LABELS, num_draws=100)
    assert summary["num_runs"] == 7
    assert summary["num_clips"] == 160


def test_contradictions_between_runs_are_refused():
    runs = make_runs()
    with pytest.raises(ValueError, match="fold 0 with seed 0 twice"):
        summarize([*runs, runs[0]], LABELS)
    with pytest.raises(ValueError, match="Speaker 0 is tested in the folds 0 and 7"):
        summarize([*runs, {**runs[0], "fold": 7}], LABELS)
    with pytest.raises(ValueError, match="Some clip is there twice in fold 0"):
        summarize([{**runs[0], "predictions": runs[0]["predictions"] * 2}], LABELS)
    other = [{**item, "label": 3 - item["label"]} for item in runs[0]["predictions"]]
    with pytest.raises(ValueError, match="another label or speaker"):
        summarize([*runs, {**runs[0], "seed": 1, "predictions": other}], LABELS)
    with pytest.raises(ValueError, match="3 finite probabilities"):
        summarize(runs, LABELS[:3])
    broken = [{**runs[0]["predictions"][0], "probabilities": [np.nan] * 4}]
    with pytest.raises(ValueError, match="finite"):
        summarize([{**runs[0], "predictions": broken}], LABELS)
    with pytest.raises(ValueError, match="received none"):
        summarize([], LABELS)
    with pytest.raises(ValueError, match="received none"):
        summarize([{**runs[0], "predictions": []}], LABELS)


# ---- two methods


def test_a_method_does_not_differ_from_itself():
    runs = make_runs()
    result = paired_test(runs, runs, len(LABELS))
    assert result["difference"] == 0
    assert result["p_value"] == 1
    assert result["interval_95"] == [0, 0]


def test_a_better_method_is_seen_to_be_better():
    good, bad = make_runs(0.8, num_speakers=20, noise=1), make_runs(0.5, num_speakers=20, noise=2)
    result = paired_test(good, bad, len(LABELS))
    assert not result["exact"]
    assert result["difference"] > 0.15
    assert result["p_value"] < 0.001
    low, high = result["interval_95"]
    assert 0 < low < result["difference"] < high
    mirrored = paired_test(bad, good, len(LABELS))
    assert mirrored["difference"] == -result["difference"]
    assert mirrored["p_value"] == pytest.approx(result["p_value"], abs=0.001)


def test_exact_permutations_by_hand():
    good, bad = (
        make_runs(0.9, num_speakers=4, num_folds=2, noise=1),
        make_runs(0.4, num_speakers=4, num_folds=2, noise=2),
    )
    result = paired_test(good, bad, len(LABELS), metric="war")
    accuracy = [{}, {}]
    for method, runs in enumerate((good, bad)):
        for item in itertools.chain.from_iterable(run["predictions"] for run in runs):
            right = np.argmax(item["probabilities"]) == item["label"]
            accuracy[method].setdefault(item["speaker"], []).append(right)
    differences = np.array([np.mean(accuracy[0][speaker]) - np.mean(accuracy[1][speaker]) for speaker in accuracy[0]])
    flipped = [abs(np.mean(differences * signs)) for signs in itertools.product((1, -1), repeat=4)]
    assert result["exact"]
    assert result["num_permutations"] == 16
    assert result["p_value"] == pytest.approx(np.mean(np.array(flipped) >= abs(differences.mean()) - 1e-12))
    assert result["p_value"] >= 2 / 16


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_promised():
    p_values = [
        paired_test(
            make_runs(0.6, noise=2 * trial, num_speakers=8, num_folds=2),
            make_runs(0.6, noise=2 * trial + 1, num_speakers=8, num_folds=2),
            4,
        )["p_value"]
        for trial in range(150)
    ]
    # With p <= 0.1 in one of ten cases, 27 of 150 would be four standard deviations away.
    assert sum(p <= 0.1 for p in p_values) <= 27
    assert sum(p <= 0.5 for p in p_values) >= 45


def test_other_clips_cannot_be_compared():
    runs = make_runs()
    with pytest.raises(ValueError, match="scored on the same clips, but 32 differ, such as 4-0-0"):
        paired_test(runs, runs[:4], len(LABELS))
    with pytest.raises(ValueError, match="out of war, uar, macro_f1"):
        paired_test(runs, runs, len(LABELS), metric="f1")
    with pytest.raises(ValueError, match="at least two speakers"):
        paired_test(make_runs(num_speakers=1, num_folds=1), make_runs(num_speakers=1, num_folds=1), len(LABELS))


# ---- the file


def test_results_round_trip(tmp_path):
    runs = make_runs(seeds=(0, 1))
    for run in runs:
        run["single_modality"] = {"audio": run["predictions"]}
    results = make_results(
        "TACFN",
        "synthetic",
        LABELS,
        runs,
        num_parameters=26_301_417,
        environment=environment_record(["/a/b/train.py", "--fold", "0"]),
    )
    save_json_atomic(tmp_path / "results.json", results)
    loaded = load_results(tmp_path / "results.json")
    assert loaded["summary"]["uar"]["mean"] == results["summary"]["uar"]["mean"]
    assert summarize(loaded["runs"], loaded["labels"]) == loaded["summary"]
    assert loaded["single_modality"]["audio"] == loaded["summary"]
    assert loaded["environment"]["command"] == "train.py --fold 0"
    assert loaded["environment"]["packages"]["numpy"] == np.__version__
    assert loaded["environment"]["processor"]


def test_the_environment_survives_json(tmp_path):
    save_json_atomic(tmp_path / "environment.json", environment_record())
    assert json.loads((tmp_path / "environment.json").read_text()) == environment_record()


def test_protocols_have_names():
    with pytest.raises(
        ValueError,
        match="'plain', 'speaker-normalised', 'learning check', 'random clips', 'published split', received 'best'",
    ):
        make_results("TACFN", "synthetic", LABELS, make_runs(), protocol="best")


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"schema_version": 99}'])
def test_other_files_are_no_results(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match="results"):
        load_results(tmp_path / "results.json")


def test_table(tmp_path):
    runs = make_runs(seeds=(0, 1))
    for run in runs:
        run["single_modality"] = {"audio": run["predictions"], "video": run["predictions"]}
    results = make_results("TACFN", "synthetic", LABELS, runs, num_parameters=339_000)
    save_json_atomic(tmp_path / "results.json", results)
    single = make_results(
        "a|b", "synthetic", LABELS, make_runs(num_speakers=1, num_folds=1), protocol="speaker-normalised"
    )
    lines = results_table([tmp_path / "results.json", single]).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines[:6]}) == 1
    assert [line.split(" | ")[1] for line in lines[2:6]] == ["all", "audio", "video", "all"]
    score = results["summary"]["uar"]
    low, high = score["interval_95"]
    assert f"| {100 * score['mean']:.1f} ± {100 * score['sd']:.1f} [{100 * low:.1f}, {100 * high:.1f}] |" in lines[2]
    assert "5 folds, 2 seeds | 0.34 M |" in lines[2]
    assert "a\\|b" in lines[5]
    assert "speaker-normalised" in lines[5]
    assert "1 fold, 1 seed | – |" in lines[5]
    assert "±" not in lines[5]


def test_overview_keeps_every_number_that_is_quoted(tmp_path):
    better, worse = make_runs(0.9), make_runs(0.4, noise=1)
    for run in (*better, *worse):
        run |= {"single_modality": {"audio": run["predictions"]}, "history": [{"epoch": 0}], "splits": {"test": ["0"]}}
    results = [make_results("better", "synthetic", LABELS, better), make_results("worse", "synthetic", LABELS, worse)]
    results.append(make_results("other", "synthetic", LABELS, worse, protocol="speaker-normalised"))
    save_json_atomic(tmp_path / "overview.json", overview(results[::-1], reference="better"))
    stored = json.loads((tmp_path / "overview.json").read_text())["results"]
    assert [item["name"] for item in stored] == ["worse", "better", "other"]
    assert stored[1]["runs"][4] == {"fold": 4, "seed": 0, "splits": {"test": ["0"]}}
    assert stored[0]["paired"] == {
        "reference": "better",
        "war": paired_test(worse, better, len(LABELS), "war"),
        "uar": paired_test(worse, better, len(LABELS), "uar"),
    }
    assert stored[0]["paired"]["war"]["difference"] < 0
    assert stored[1]["paired"] is None
    assert stored[2]["paired"] is None
    whole = results_table([results[1], results[0], results[2]]).splitlines()
    assert [row.split(" | ")[:6] for row in results_table(stored).splitlines()[:8]] == [
        row.split(" | ")[:6] for row in whole[:8]
    ]
    assert (
        len(results_table(stored, single_modality=False).splitlines()) == len(results_table(stored).splitlines()) - 3
    )


def test_json_takes_what_experiments_have(tmp_path):
    value = {
        "array": np.eye(2),
        "number": np.float32(0.5),
        "nan": float("nan"),
        "inf": np.array([np.inf]),
        1: Path("a"),
        "t": (1, None, True),
        "ü": "é",
    }
    save_json_atomic(tmp_path / "deep" / "value.json", value)
    expected = {
        "array": [[1, 0], [0, 1]],
        "number": 0.5,
        "nan": None,
        "inf": [None],
        "1": "a",
        "t": [1, None, True],
        "ü": "é",
    }
    assert json.loads((tmp_path / "deep" / "value.json").read_text(encoding="utf-8")) == expected


def test_long_values_are_laid_out_in_lines(tmp_path):
    value = {
        "runs": [{"predictions": [{"clip_id": str(index), "probabilities": [0.25] * 4} for index in range(20)]}],
        "empty": {},
    }
    save_json_atomic(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text()
    assert json.loads(text) == value
    assert max(map(len, text.splitlines())) < 220
    assert len(text.splitlines()) < 30


def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    save_json_atomic(path, {"old": 1})

    def full(self, text, **options):
        with self.open("w") as file:
            file.write(text[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        save_json_atomic(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["results.json"]


def test_what_cannot_be_saved_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "results.json"
    save_json_atomic(path, {"old": 1})
    with pytest.raises(TypeError):
        save_json_atomic(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}


def test_an_interrupted_block_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"new")
            assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_summary_scores_are_those_of_the_confusion():
    summary = summarize(make_runs(seeds=(0, 1)), LABELS, num_draws=10)
    confusion = np.array(summary["confusion"])
    assert summary["war"]["pooled"] == pytest.approx(float(war(confusion)))
    assert summary["uar"]["pooled"] == pytest.approx(float(uar(confusion)))


def test_the_validation_speakers_choose_options_beside_the_test_scores():
    runs = make_runs(num_folds=2)
    for run, (worse, kept) in zip(runs, ((0.9, 0.5), (0.8, 0.7)), strict=True):
        run["history"] = [
            {"epoch": 0, "validation_uar": worse, "best": False},
            {"epoch": 1, "validation_uar": kept, "best": True},
        ]
    results = overview([make_results("chosen", "synthetic", LABELS, runs)])["results"]
    assert results[0]["validation_uar"]["mean"] == pytest.approx(0.6)
    (line,) = results
    lines = results_table([line, line | {"name": "other"}]).splitlines()
    assert lines[-1].startswith(
        "In all rows: inputs all; corpus synthetic; protocol plain; runs 2 folds, 1 seed. Percent"
    )
    column = lines[0].split(" | ").index("Validation UAR")
    assert lines[2].split(" | ")[column] == "60.0 ± 14.1"
    assert "Validation UAR" not in results_table(
        overview([make_results("x", "synthetic", LABELS, make_runs())])["results"]
    )
