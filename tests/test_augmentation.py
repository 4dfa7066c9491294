"""What training does to the clips of a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prepared_clips import drawn_clips, samples

from modeling_tacfn import TacfnImageProcessor
from modeling_tacfn.augmentation import Augmentation, Augmenter
from modeling_tacfn.data import ClipCollator, feature_statistics


EVERYTHING = Augmentation(
    flip=0.5,
    zoom=0.1,
    rotation=10.0,
    brightness=0.2,
    audio_crop=8,
    tempo=0.1,
    frequency_shift=1.0,
    gain=0.3,
    tilt=0.3,
    time_masks=1,
    time_mask_size=3,
    frequency_masks=1,
    frequency_mask_size=2,
    feature_noise=0.2,
    feature_dropout=0.1,
    feature_exchange={"units": 0.5},
    speaker_shift=1.0,
    modality_dropout=0.3,
    mixup=0.4,
    mixup_probability=0.5,
)


def collator(clips, **options):
    augmentation = options.pop("augmentation", None) or Augmentation(**options)
    return ClipCollator(3, TacfnImageProcessor(do_normalize=False), Augmenter(augmentation, samples(clips)))


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_equal(value, other[key])
        else:
            assert torch.equal(value, other[key]), key


def test_augmentation_is_a_function_of_the_seed():
    clips = drawn_clips()
    before = [{key: value.copy() for key, value in clip.items()} for clip in clips]
    augment = collator(clips, augmentation=EVERYTHING)

    def batch(seed):
        augment.seed(seed)
        return augment(samples(clips))

    first, other = batch(1), batch(2)
    assert_equal(batch(1), first)
    assert not torch.equal(first["pixel_values_videos"], other["pixel_values_videos"])
    assert not torch.equal(first["features"]["units"], other["features"]["units"])
    for clip, kept in zip(clips, before, strict=True):
        assert all(np.array_equal(clip[key], kept[key]) for key in clip), "a clip in memory was changed"


def test_nothing_switched_on_changes_nothing():
    clips = drawn_clips()
    batch = collator(clips)(samples(clips))
    assert_equal(batch, ClipCollator(3, TacfnImageProcessor(do_normalize=False))(samples(clips)))


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once_stays_finite(seed):
    clips = drawn_clips()
    clips[0]["feature/units"][2] = np.nan
    augment = collator(clips, augmentation=EVERYTHING)
    augment.seed(seed)
    batch = augment(samples(clips))
    for value in [batch["input_features"], batch["pixel_values_videos"], batch["features"]["units"]]:
        assert value.isfinite().all()


def test_padding_stays_zero():
    clips = drawn_clips()
    augment = collator(clips, augmentation=replace(EVERYTHING, modality_dropout=0.0, mixup=0.0, flip=0.0))
    batch = augment(samples(clips))
    assert not batch["input_features"][~batch["audio_mask"]].any()


def test_all_frames_of_a_clip_are_flipped_alike():
    clips = drawn_clips(16)
    augment = collator(clips, flip=0.5)
    augment.seed(0)
    pixels = augment(samples(clips))["pixel_values_videos"]
    flipped = []
    for clip, got in zip(clips, pixels, strict=True):
        plain = torch.from_numpy(clip["crops"]).permute(0, 3, 1, 2).float() / 255
        same = [torch.allclose(frame, original, atol=1e-3) for frame, original in zip(got, plain, strict=True)]
        mirrored = [
            torch.allclose(frame, original.flip(-1), atol=1e-3) for frame, original in zip(got, plain, strict=True)
        ]
        assert all(same) or all(mirrored)
        flipped.append(all(mirrored))
    assert 0 < sum(flipped) < 16


def test_a_piece_of_the_sound_is_consecutive_steps_of_it():
    clips = [{"input_features": np.arange(size, dtype=np.float32)[:, None]} for size in (30, 20, 5)]
    augment = collator(clips, audio_crop=8)
    starts = set()
    for seed in range(6):
        augment.seed(seed)
        batch = augment(samples(clips))
        assert batch["audio_mask"].sum(1).tolist() == [8, 8, 5]
        for values, mask in zip(batch["input_features"], batch["audio_mask"], strict=True):
            assert (values[mask].flatten().diff() == 1).all()
        starts.add(float(batch["input_features"][0, 0, 0]))
    assert len(starts) > 2


def test_tempo_takes_more_or_fewer_steps_of_the_sound():
    clips = [{"input_features": np.arange(100, dtype=np.float32)[:, None]}] * 6
    batch = collator(clips, audio_crop=50, tempo=0.3)(samples(clips))
    spans = [float(values[49, 0] - values[0, 0]) for values in batch["input_features"]]
    assert min(spans) < 48 < 50 < max(spans)
    assert all(0.7 * 49 - 1 <= span <= 1.3 * 49 + 1 for span in spans)


def test_modality_dropout_never_takes_the_last_modality():
    clips = drawn_clips(32)
    for index, name in enumerate(("input_features", "crops", "feature/units")):
        clips[index] = {name: clips[index][name]}
    augment = collator(clips, modality_dropout=1.0)
    for seed in range(5):
        augment.seed(seed)
        batch = augment(samples(clips))
        masks = [batch["audio_mask"], batch["video_mask"], batch["feature_masks"]["units"]]
        present = torch.stack([mask.any(1) for mask in masks]).sum(0)
        assert present[:3].tolist() == [1, 1, 1]
        assert present[3:].tolist() == [2] * 29


def test_mixed_labels_are_shares_and_inputs_follow_them():
    clips = [{"feature/units": np.eye(3, dtype=np.float32)[index % 3]} for index in range(9)]
    batch = collator(clips, mixup=0.5)(samples(clips))
    torch.testing.assert_close(batch["labels"].sum(1), torch.ones(9))
    torch.testing.assert_close(batch["features"]["units"], batch["labels"])
    assert ((batch["labels"] > 0.01) & (batch["labels"] < 0.99)).any()
    assert (batch["labels"].argmax(1) == torch.arange(9) % 3).all(), "a clip is the larger part of itself"


def test_only_some_clips_are_mixed():
    clips = drawn_clips(64)
    batch = collator(clips, mixup=0.5, mixup_probability=0.25)(samples(clips))
    mixed = (batch["labels"].amax(1) < 1).sum()
    assert 4 < mixed < 28
    untouched = torch.tensor(
        [
            torch.equal(u, torch.from_numpy(c["feature/units"]))
            for u, c in zip(batch["features"]["units"], clips, strict=True)
        ]
    )
    assert untouched.sum() >= 36


def test_exchanged_features_come_from_a_clip_of_the_same_kind():
    clips = [
        {"feature/units": np.full(2, index, np.float32), "input_features": np.full((3, 2), index, np.float32)}
        for index in range(24)
    ]
    given = [
        sample | {"intensity": "strong" if index >= 12 else "normal"} for index, sample in enumerate(samples(clips))
    ]
    batch = ClipCollator(3, None, Augmenter(Augmentation(feature_exchange={"units": 1.0}), given))(given)
    owners = batch["features"]["units"][:, 0].long()
    assert (owners % 3 == torch.arange(24) % 3).all()
    assert ((owners >= 12) == (torch.arange(24) >= 12)).all()
    assert (owners != torch.arange(24)).sum() > 8
    assert (batch["input_features"][:, 0, 0] == torch.arange(24)).all()


def test_speakers_are_shifted_towards_others():
    """Two speakers who differ in nothing but their mean: moved all the way, a clip of one is a clip of the other."""
    offsets = [0.0, 10.0] * 8
    clips = [
        {"feature/units": np.full(2, offset, np.float32), "input_features": np.full((3, 2), -offset, np.float32)}
        for offset in offsets
    ]
    batch = collator(clips, speaker_shift=1.0)(samples(clips))
    units, sound = batch["features"]["units"][:, 0], batch["input_features"][:, 0, 0]
    torch.testing.assert_close(units, -sound)
    assert units.min() >= 0
    assert units.max() <= 10
    moved = (units - torch.tensor(offsets)).abs() > 1e-3
    assert 2 < moved.sum() < 15


def test_masks_hide_by_the_mean_of_training():
    clips = drawn_clips(4)
    augment = collator(clips, time_masks=1, time_mask_size=4, frequency_masks=1, frequency_mask_size=3)
    mean, _ = feature_statistics(clips, "input_features")
    augment.seed(3)
    batch = augment(samples(clips))
    changed = 0
    for clip, got in zip(clips, batch["input_features"], strict=True):
        values = got[: len(clip["input_features"])].numpy()
        other = values != clip["input_features"]
        np.testing.assert_allclose(values[other], np.broadcast_to(mean, values.shape)[other])
        changed += other.sum()
    assert changed


def test_unknown_augmentation_lists_the_known_ones():
    with pytest.raises(ValueError, match="flipp.*flip.*mixup"):
        Augmentation.from_dict({"flipp": 0.5})
