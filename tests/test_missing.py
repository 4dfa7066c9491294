# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Noise, lost frames and missing inputs: what is done to a clip, and what is measured then."""

import argparse

import datasets
import numpy as np
import pytest
from media_samples import tone, write_sound
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn.comparison_plots import plot_missing
from modeling_tacfn.degradation import add_noise, lose_frames
from modeling_tacfn.missing import Condition, conditions_of, degraded, missing_table, noisy_sound
from modeling_tacfn.preparation import prepare_clip
from modeling_tacfn.prepared_clip import PreparedClip
from modeling_tacfn.rescoring import judge


RATE = 16000
SOUND = {"input_features": np.ones((9, 13), np.float32), "feature/prosody": np.ones(39, np.float32)}
FACE = {"crops": np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)}
UNITS = {"feature/action_units": np.ones(35, np.float32)}


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -5.0])
def test_the_noise_has_the_level_that_was_asked_for(snr_db):
    sound = tone(2.0, RATE, level=0.05)
    noise = add_noise(sound, snr_db, "clip") - sound
    measured = 10 * np.log10(np.mean(sound**2) / np.mean(noise**2))
    assert measured == pytest.approx(snr_db, abs=0.2)
    assert noise.dtype == np.float32


def test_the_noise_of_a_clip_is_its_own():
    sound = tone(0.5, RATE)
    assert np.array_equal(add_noise(sound, 5, "a"), add_noise(sound, 5, "a"))
    first, second = (add_noise(sound, 5, name) - sound for name in "ab")
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert not add_noise(np.zeros(100, np.float32), 5, "a").any()


def test_lost_frames_are_more_with_a_larger_share_and_never_all():
    kept = {lost: set(lose_frames(FACE["crops"], lost, "clip")[:, 0, 0, 0].tolist()) for lost in (0, 0.25, 0.5, 0.99)}
    assert [len(frames) for frames in kept.values()] == [10, 8, 5, 1]
    assert kept[0.99] < kept[0.5] < kept[0.25] < kept[0]
    order = lose_frames(FACE["crops"], 0.5, "clip")[:, 0, 0, 0]
    assert (np.diff(order.astype(int)) > 0).all()


def test_only_what_the_clips_have_is_taken_away():
    def kinds(clip):
        return {condition.kind for condition in conditions_of([clip])}

    assert kinds(SOUND | FACE) == {"both", "sound only", "face only", "noise", "lost frames"}
    assert kinds(SOUND | UNITS) == {"both", "sound only", "face only", "noise"}
    assert kinds(SOUND) == {"both", "noise"}
    assert kinds(FACE) == {"both", "lost frames"}


def test_the_modalities_go_as_a_whole():
    clips, names = [PreparedClip.of(SOUND | FACE | UNITS)], ["clip"]
    assert set(degraded(clips, names, Condition("sound only"), None)[0]) == set(SOUND)
    assert set(degraded(clips, names, Condition("face only"), None)[0]) == {*FACE, *UNITS}
    noisy = PreparedClip.of({name: values + 1 for name, values in SOUND.items()})
    heard = PreparedClip.of(FACE | {"input_features": SOUND["input_features"]})
    (mixed,) = degraded([heard], names, Condition("noise", 0), [noisy])
    assert set(mixed) == {"crops", "input_features"}  # a network that takes no prosody gets none
    assert (mixed["input_features"] == 2).all()
    (gaps,) = degraded(clips, names, Condition("lost frames", 0.5), None)
    assert np.array_equal(gaps["crops"], lose_frames(FACE["crops"], 0.5, "clip"))


def test_noise_reaches_every_feature_of_the_sound(tmp_path):
    path = write_sound(tmp_path / "speech.wav", tone(1.0, RATE), RATE)
    row = {"clip_id": "speech", "audio": str(path), "features": {"units": [0.5, 1.5]}}
    corpus = datasets.Dataset.from_list([row])
    processor = TacfnProcessor(
        TacfnFeatureExtractor(), TacfnImageProcessor(), do_prosody=True, static_features=["units", "prosody"]
    )
    arguments = argparse.Namespace(cache_dir=tmp_path / "cache", num_proc=1)
    clean = prepare_clip(row, processor)
    levels = {level: noisy_sound(corpus, processor, level, arguments)[0] for level in (40.0, 0.0)}
    for name in ("input_features", "feature/prosody"):
        near, far = (np.abs(levels[level][name] - clean[name]).mean() for level in (40.0, 0.0))
        assert 0 < near < far
    assert set(levels[0.0]) == set(SOUND)
    assert processor.do_video


def test_an_answer_does_not_depend_on_the_other_clips():
    model = build("audio_video")
    clips = [sound_of(model, length) for length in (9, 40, 17)]
    processor = TacfnImageProcessor()
    together = judge(model, [*clips, {}], processor)
    alone = np.concatenate([judge(model, [clip], processor) for clip in clips])
    assert np.abs(together[:3] - alone).max() < 1e-5
    assert np.allclose(together[3], 1 / model.config.num_labels)


def sound_of(model, length):
    draw = np.random.default_rng(length)
    return {"input_features": draw.normal(size=(length, model.config.audio_coefficients)).astype(np.float32)}


def test_a_method_without_a_condition_leaves_its_cell_empty(tmp_path):
    def score(kind, value=None):
        war = {"pooled": 0.5, "interval_95": [0.4, 0.6]}
        return {"condition": Condition(kind, value).name, "kind": kind, "value": value, "war": war, "uar": war}

    fused = [score("both"), score("sound only"), score("face only"), score("noise", 5.0), score("lost frames", 0.5)]
    results = [
        {"name": "tacfn", "protocol": "plain", "missing": fused},
        {"name": "audio_only", "protocol": "plain", "missing": [score("both"), score("noise", 5.0)]},
    ]
    lines = missing_table(results[::-1]).splitlines()
    assert lines[0].index("face only") < lines[0].index("noise 5 dB")
    assert lines[0].count("|") == 8
    assert "| audio_only | plain | 50.0 [40.0, 60.0] | – | – | 50.0 [40.0, 60.0] | – |" in lines
    plot_missing(results, tmp_path / "missing.png")
    assert (tmp_path / "missing.png").stat().st_size > 5000
