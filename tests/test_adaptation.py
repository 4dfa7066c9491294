# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What is known of a speaker: from no clip, from few, from many; kept in a file apart from the weights."""

import json

import numpy as np
import pytest
from media_samples import tone, write_sound
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnProcessor
from modeling_tacfn.adaptation import load_speaker, save_speaker, speaker_prior
from modeling_tacfn.feature_arrays import speaker_estimate
from modeling_tacfn.prediction import predict
from tacfn import main


RATE = 16000
PRIOR = {"mean": [0.0, 10.0], "std": [1.0, 2.0], "mean_clips": [4.0, 4.0], "std_clips": [4.0, 4.0]}


def people(num_speakers: int, num_clips: int, between: float, within: float, seed: int = 0):
    """Clips of one vector each, and whose they are; the speakers' means scatter by `between`, their clips by `within`."""
    draw = np.random.default_rng(seed)
    clips, speakers = [], []
    for speaker in range(num_speakers):
        mean = draw.normal(5, between, 3)
        clips += [{"feature/units": draw.normal(mean, within).astype(np.float32)} for _ in range(num_clips)]
        speakers += [f"s{speaker}"] * num_clips
    return clips, speakers


@pytest.mark.slow
def test_the_prior_knows_how_many_clips_it_is_worth():
    """Of clips that scatter as much as the speakers do, one tells as much of a speaker as everybody's mean does."""
    for between, within, worth in ((1.0, 1.0, 1), (1.0, 3.0, 9), (2.0, 1.0, 0.25)):
        prior = speaker_prior(*people(400, 30, between, within))["units"]
        np.testing.assert_allclose(prior["mean"], 5, atol=0.4)
        np.testing.assert_allclose(prior["std"], within, rtol=0.05)
        np.testing.assert_allclose(prior["mean_clips"], worth, rtol=0.25)
    assert max(len(text) for text in map(str, prior["mean"])) < 10


def test_speakers_who_do_not_differ_are_worth_no_estimate_of_their_own():
    prior = speaker_prior(*people(40, 30, 0.0, 1.0))["units"]
    assert min(prior["mean_clips"]) > 20


def test_what_is_missing_is_left_out():
    clips, speakers = people(20, 10, 1.0, 1.0)
    for clip in clips[::3]:
        clip["feature/units"][1] = np.nan
    clips[4].clear()
    prior = speaker_prior(clips, speakers)["units"]
    assert all(np.isfinite(values).all() for values in prior.values())


def test_the_estimate_goes_from_what_is_usual_to_what_the_speaker_shows():
    clips = [np.array([8.0, 10.0]), np.array([10.0, 14.0])] * 50
    mean, std = speaker_estimate([], PRIOR)
    np.testing.assert_allclose([mean, std], [PRIOR["mean"], PRIOR["std"]])
    means = [speaker_estimate(clips[:count], PRIOR)[0][0] for count in (1, 2, 4, 20, 100)]
    assert means == sorted(means)
    np.testing.assert_allclose(means[:2], [8 / 5, 18 / 6])
    own_mean, own_std = speaker_estimate(clips, None)
    np.testing.assert_allclose(own_mean, [9, 12])
    np.testing.assert_allclose(own_std, [1, 2])
    mean, std = speaker_estimate(clips, PRIOR)
    np.testing.assert_allclose(mean, own_mean, rtol=0.06)
    np.testing.assert_allclose(std, own_std, rtol=0.06)


def test_one_clip_keeps_the_usual_spread():
    """A single vector has no spread of its own."""
    std = speaker_estimate([np.array([0.0, 10.0])], PRIOR)[1]
    np.testing.assert_allclose(std, np.sqrt(4 / 5) * np.array(PRIOR["std"]))


def test_few_clips_are_better_with_the_prior_than_without():
    clips, speakers = people(60, 20, 1.0, 3.0, seed=3)
    prior = speaker_prior(clips, speakers)["units"]
    errors = []
    for start in range(0, len(clips), 20):
        own = [clip["feature/units"] for clip in clips[start : start + 20]]
        truth = np.mean(own, axis=0)
        errors.append([np.abs(speaker_estimate(own[:2], given)[0] - truth).mean() for given in (prior, None)])
    with_prior, without = np.mean(errors, axis=0)
    assert with_prior < 0.75 * without


def test_nothing_at_all_is_refused():
    with pytest.raises(ValueError, match="clips of the speaker, or a processor with a `speaker_prior`"):
        speaker_estimate([], None)


def test_a_file_is_what_was_saved(tmp_path):
    statistics = {"audio": (np.array([1.5, 2.0], np.float32), np.array([0.5, 1.0], np.float32))}
    save_speaker(statistics, tmp_path / "ann.json", 7)
    loaded = load_speaker(tmp_path / "ann.json")
    np.testing.assert_array_equal(loaded["audio"], statistics["audio"])
    assert json.loads((tmp_path / "ann.json").read_text())["num_clips"] == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "expected a speaker's file"),
        ({"features": None}, "expected a speaker's file"),
        ({"version": 9}, "expected version 1, got 9; upgrade"),
        ({"features": {"audio": {"mean": [1, 2], "std": [1]}}}, "for each number of 'audio'"),
        ({"features": {"audio": {"mean": [1, 2], "std": [1, 0]}}}, "positive std"),
    ],
)
def test_other_files_are_refused(tmp_path, changes, message):
    stored = {"format": "tacfn-speaker", "version": 1, "num_clips": 1, "features": {}} | changes
    (tmp_path / "ann.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=message):
        load_speaker(tmp_path / "ann.json")
    for text in ("", "[]", "no json"):
        (tmp_path / "ann.json").write_text(text)
        with pytest.raises(ValueError, match="expected a speaker's file"):
            load_speaker(tmp_path / "ann.json")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A speaker-normalised network that knows what is usual of speakers."""
    folder = tmp_path_factory.mktemp("model")
    build("features").save_pretrained(folder)
    usual = {"audio": 20, "units": 7}
    prior = {
        name: {"mean": [0.1] * size, "std": [2.0] * size, "mean_clips": [3.0] * size, "std_clips": [3.0] * size}
        for name, size in usual.items()
    }
    TacfnProcessor(
        TacfnFeatureExtractor(feature_type="log_mel", feature_size=20, num_mel_bins=20, sampling_rate=RATE),
        feature_columns={"units": [f"AU{index}" for index in range(7)]},
        static_features=["units"],
        do_video=False,
        is_speaker_normalized=True,
        speaker_prior=prior,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def ann(tmp_path):
    """Four recordings of a person with a table of action units."""
    draw = np.random.default_rng(0)
    lines = ["clip_id," + ",".join(f"AU{index}" for index in range(7))]
    for index in range(4):
        write_sound(tmp_path / f"clip{index}.wav", tone(0.5, RATE, 200 + 90 * index), RATE)
        lines.append(f"clip{index}," + ",".join(map(str, draw.random(7))))
    (tmp_path / "au.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_adapt_then_predict(model, ann, capsys):
    clips = [str(ann / f"clip{index}.wav") for index in range(3)]
    table, speaker = f"units={ann / 'au.csv'}", ann / "ann.json"
    assert main(["adapt", *clips, "--model", str(model), "--features", table, "--output", str(speaker)]) == 0
    assert "made of 3 clips" in capsys.readouterr().out

    command = ["predict", str(ann / "clip3.wav"), "--model", str(model), "--features", f"{table}#clip3", "--json"]
    assert main([*command, "--speaker", str(speaker)]) == 0
    adapted = json.loads(capsys.readouterr().out)["scores"]
    more = [f"{clip},{table}#clip{index}" for index, clip in enumerate(clips)]
    assert main([*command, "--speaker_clips", *more]) == 0
    from_clips = json.loads(capsys.readouterr().out)["scores"]
    assert adapted == pytest.approx(from_clips, abs=1e-4)

    assert main(command) == 0
    printed = capsys.readouterr()
    assert "Nothing is known of the speaker" in printed.err
    assert json.loads(printed.out)["scores"] != pytest.approx(adapted, abs=1e-4)


def test_adapt_goes_on_without_a_broken_clip(model, ann, capsys):
    (ann / "broken.wav").write_bytes(b"")
    speaker = ann / "ann.json"
    assert (
        main(
            ["adapt", str(ann / "clip0.wav"), str(ann / "broken.wav"), "--model", str(model), "--output", str(speaker)]
        )
        == 1
    )
    assert "broken.wav" in capsys.readouterr().err
    assert json.loads(speaker.read_text())["num_clips"] == 1
    speaker.unlink()
    assert main(["adapt", str(ann / "broken.wav"), "--model", str(model), "--output", str(speaker)]) == 1
    assert "at least one clip" in capsys.readouterr().err
    assert not speaker.exists()


def test_adapt_takes_folders(model, ann, tmp_path, capsys):
    """As arguments, by `--clips`, or both; only sound and video files that lie in them directly."""
    folder, speaker = tmp_path / "clips", tmp_path / "ann.json"
    (folder / "more").mkdir(parents=True)
    for index in range(3):
        (ann / f"clip{index}.wav").rename(folder / f"clip{index}.WAV")
    (ann / "clip3.wav").rename(folder / "more" / "clip3.wav")
    (folder / "notes.txt").write_text("calm, angry, calm")
    (folder / ".clip0.wav").write_bytes(b"")
    by_hand = [str(folder / f"clip{index}.WAV") for index in range(3)]
    options = ["--model", str(model), "--features", f"units={ann / 'au.csv'}", "--output", str(speaker)]
    made = []
    for clips in (
        by_hand,
        [str(folder)],
        ["--clips", str(folder)],
        ["--clips", *by_hand],
        [by_hand[0], "--clips", *by_hand[1:]],
    ):
        assert main(["adapt", *clips, *options]) == 0
        made.append(json.loads(speaker.read_text()))
    assert made[0]["num_clips"] == 3
    assert made.count(made[0]) == 5
    assert main(["adapt", "--clips", str(folder), str(folder / "more"), *options]) == 0
    assert json.loads(speaker.read_text())["num_clips"] == 4


@pytest.mark.parametrize(
    ("clips", "message"), [(["empty"], "found none among its 1 files"), ([], "got none; give files")]
)
def test_adapt_without_clips_is_wrong_usage(tmp_path, monkeypatch, capsys, clips, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main(["adapt", *clips, "--model", "model", "--output", "ann.json"])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_another_networks_file_is_refused(model, ann, tmp_path):
    processor = TacfnProcessor.from_pretrained(model)
    save_speaker({"audio": (np.ones(13), np.ones(13))}, tmp_path / "other.json", 3)
    with pytest.raises(ValueError, match=r"expected 20 numbers for 'audio', got 13; .*another network"):
        load_speaker(tmp_path / "other.json", processor)


def test_the_prior_is_saved_with_the_processor(model):
    processor = TacfnProcessor.from_pretrained(model)
    network = build("features")
    clip = {"audio": tone(0.5, RATE), "sampling_rate": RATE, "features": {"units": np.ones(7, np.float32)}}
    usual = {
        name: (np.array(values["mean"]), np.array(values["std"])) for name, values in processor.speaker_prior.items()
    }
    assert predict(network, processor, **clip).scores == pytest.approx(
        predict(network, processor, statistics=usual, **clip).scores, abs=1e-5
    )
