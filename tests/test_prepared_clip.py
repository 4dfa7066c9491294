# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Prepared clips are read when they are asked for, and remembered only while there is room."""

import pickle

import numpy as np
import pytest

from modeling_tacfn.feature_arrays import known_statistics, statistics_over
from modeling_tacfn.prepared_clip import ClipReader, PreparedClip


@pytest.fixture
def paths(tmp_path):
    for index in range(4):
        np.savez(
            tmp_path / f"{index}.npz", crops=np.full((2, 8, 8, 3), index, np.uint8), input_features=np.ones((5, 3))
        )
    return [tmp_path / f"{index}.npz" for index in range(4)]


def test_nothing_is_read_before_it_is_asked_for(paths, monkeypatch):
    reader = ClipReader()
    read = []
    monkeypatch.setattr(reader, "read", lambda path, name: read.append((path.stem, name)) or np.zeros(3))
    clips = [reader.clip(path) for path in paths]
    assert [set(clip) for clip in clips] == [{"crops", "input_features"}] * 4
    assert "crops" in clips[0]
    assert len(clips[0].only(["crops"])) == 1
    changed = clips[1].changed({"crops": np.negative})
    assert read == []
    assert changed["crops"].tolist() == [0, 0, 0]
    assert read == [("1", "crops")]


def test_a_clip_is_what_its_views_made_of_it(paths):
    clip = ClipReader().clip(paths[3])
    doubled = clip.changed({"crops": lambda values: values * 2, "feature/units": np.negative})
    assert set(doubled) == set(clip)
    assert (doubled["crops"] == 6).all()
    assert (doubled.changed({"crops": lambda values: values + 1})["crops"] == 7).all()
    assert (clip["crops"] == 3).all()
    other = clip | {"feature/units": np.arange(2), "crops": np.zeros(1)}
    assert set(other) == {"crops", "input_features", "feature/units"}
    assert other["crops"].shape == (1,)
    assert set((clip | PreparedClip.of({"feature/units": np.arange(2)})).only(["feature/units"])) == {"feature/units"}
    with pytest.raises(KeyError):
        clip.only(["crops"])["input_features"]
    assert not PreparedClip({})


def test_what_has_room_is_read_once_and_the_rest_every_time(paths, monkeypatch):
    size = 2 * 8 * 8 * 3
    reader = ClipReader(room=2 * size)
    clips = [reader.clip(path) for path in paths]
    assert [int(clip["crops"][0, 0, 0, 0]) for clip in clips] == [0, 1, 2, 3]
    opened, load = [], np.load
    monkeypatch.setattr(np, "load", lambda path, **options: opened.append(path.stem) or load(path, **options))
    assert [int(clip["crops"][0, 0, 0, 0]) for clip in clips] == [0, 1, 2, 3]
    assert opened == ["2", "3"]
    assert reader.room == 0


def test_other_processes_remember_their_own(paths):
    reader = ClipReader(room=1000)
    clip = reader.clip(paths[2])
    clip["crops"]
    copy = pickle.loads(pickle.dumps(reader))
    assert (copy.room, copy._arrays) == (1000, {})
    again = pickle.loads(pickle.dumps(clip.changed({"crops": np.negative})))
    assert (again["crops"] == np.negative(np.uint8(2))).all()


def test_statistics_need_not_hold_all_clips_together():
    draw = np.random.default_rng(0)
    clips = [draw.normal(1e4, 2, (steps, 3)).astype(np.float32) for steps in (5, 1, 40, 7)] + [
        np.full(3, 1e4, np.float32)
    ]
    clips[2][::3, 1] = np.nan
    for clip in clips:
        clip[..., 2] = np.nan
    mean, std = statistics_over(iter(clips))
    expected = known_statistics(np.concatenate([np.atleast_2d(clip) for clip in clips]).astype(np.float64))
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6)
    np.testing.assert_allclose(std, expected[1], rtol=1e-4)
    assert (mean[2], std[2]) == (0, 0)
    assert mean.dtype == std.dtype == np.float32
