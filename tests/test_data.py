"""Batches of prepared clips, and normalisation by speaker."""

import numpy as np
import torch
from prepared_clips import drawn_clips, samples

from modeling_tacfn import TacfnImageProcessor
from modeling_tacfn.data import (
    ClipCollator,
    feature_statistics,
    normalize_by_speaker,
)
from modeling_tacfn.prepared_clip import PreparedClip


def test_smoothed_labels():
    batch = ClipCollator(3, TacfnImageProcessor(), label_smoothing=0.3)(samples(drawn_clips(2)))
    torch.testing.assert_close(batch["labels"], torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))


def test_each_speaker_is_centred_and_scaled_by_his_own_clips():
    generator = np.random.default_rng(0)
    speakers = ["a", "b", "a", "b", "a", "b"]
    shift = {"a": 10.0, "b": -3.0}
    clips = [
        {
            "input_features": generator.normal(shift[name], 4, (9 + index, 3)).astype(np.float32),
            "feature/units": generator.normal(shift[name], 2, 5).astype(np.float32),
            "crops": np.full((2, 4, 4, 3), 7, np.uint8),
        }
        for index, name in enumerate(speakers)
    ]
    del clips[1]["feature/units"]
    clips[2]["feature/units"][0] = np.nan
    normalized = normalize_by_speaker([PreparedClip.of(clip) for clip in clips], speakers)
    for speaker in "ab":
        own = [clip for clip, name in zip(normalized, speakers, strict=True) if name == speaker]
        for feature in ("input_features", "feature/units"):
            mean, std = feature_statistics(own, feature)
            np.testing.assert_allclose(mean, 0, atol=1e-5)
            np.testing.assert_allclose(std, 1, atol=1e-4)
    assert "feature/units" not in normalized[1]
    assert np.isnan(normalized[2]["feature/units"][0])
    assert np.array_equal(normalized[0]["crops"], clips[0]["crops"])
    assert clips[0]["input_features"].mean() > 5, "the clips given were changed"


def test_a_speaker_is_normalised_without_the_others():
    clips = [PreparedClip.of(clip) for clip in drawn_clips(6)]
    both = normalize_by_speaker(clips, ["a", "a", "a", "b", "b", "b"])
    alone = normalize_by_speaker(clips[:3], ["a"] * 3)
    for one, other in zip(alone, both, strict=False):
        assert np.array_equal(one["input_features"], other["input_features"])
