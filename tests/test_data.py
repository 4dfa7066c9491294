"""Prepared clips on disk, batches of them, augmentation, and normalisation by speaker."""

import datasets
import numpy as np
import pytest
import torch
from media_samples import numbered_frames, tone, write_mp4, write_sound

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn import data as data_module
from modeling_tacfn.data import (
    Augmentation,
    ClipCollator,
    feature_statistics,
    load_clips,
    normalize_by_speaker,
    prepare_clips,
)
from modeling_tacfn.media import MediaError


@pytest.fixture
def processor():
    return TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=16000),
        TacfnImageProcessor(num_frames=4, size={"height": 32, "width": 32}, do_face_crop=False),
        static_features=["units"],
    )


@pytest.fixture
def rows(tmp_path):
    """Two videos, and a recording with a vector of units."""
    files = [
        write_mp4(tmp_path / "a.mp4", numbered_frames(8), tone(0.32)),
        write_mp4(tmp_path / "b.mp4", 255 - numbered_frames(12), tone(0.48, frequency=900)),
    ]
    sound = write_sound(tmp_path / "c.wav", tone(0.3, 8000), 8000)
    columns = [{"clip_id": path.stem, "video": str(path), "audio": None, "features": None} for path in files]
    columns.append({"clip_id": "c", "video": None, "audio": str(sound), "features": {"units": [1.0, 2.0, 3.0]}})
    return columns


def table(rows):
    return datasets.Dataset.from_list(rows)


def test_clips_are_prepared_once(rows, processor, tmp_path, monkeypatch):
    kept, files = prepare_clips(table(rows), processor, tmp_path / "cache")
    assert kept == [0, 1, 2]
    clips = load_clips(files)
    assert [set(clip) for clip in clips] == [{"crops", "input_features"}] * 2 + [{"input_features", "feature/units"}]
    assert clips[0]["crops"].shape == (4, 32, 32, 3)
    assert clips[0]["crops"].dtype == np.uint8
    with monkeypatch.context() as patch:
        patch.setattr(data_module, "prepare_clip", None)
        assert prepare_clips(table(rows), processor, tmp_path / "cache") == (kept, files)
    processor.image_processor.num_frames = 3
    assert not set(prepare_clips(table(rows), processor, tmp_path / "cache")[1]) & set(files)


def test_a_window_of_a_clip_is_another_clip(rows, processor, tmp_path):
    parts = [rows[1] | {"start_seconds": start, "end_seconds": start + 0.2} for start in (0.0, 0.2)]
    _, files = prepare_clips(table(parts), processor, tmp_path / "cache")
    first, second = load_clips(files)
    assert not np.array_equal(first["crops"], second["crops"])


def test_a_changed_file_is_read_again(rows, processor, tmp_path):
    _, before = prepare_clips(table(rows[2:]), processor, tmp_path / "cache")
    write_sound(tmp_path / "c.wav", tone(0.5, 8000), 8000)
    assert prepare_clips(table(rows[2:]), processor, tmp_path / "cache")[1] != before


def test_an_interrupted_clip_is_prepared_again_and_its_rest_left_alone(rows, processor, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "foreign.part").write_bytes(b"half")
    real = np.savez

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_clips(table(rows), processor, cache)
    assert [path.name for path in cache.iterdir()] == ["foreign.part"]
    monkeypatch.setattr(np, "savez", real)
    kept, files = prepare_clips(table(rows), processor, cache)
    assert len(load_clips(files)) == 3
    assert (cache / "foreign.part").read_bytes() == b"half"


def test_a_broken_clip_is_named_and_left_out(rows, processor, tmp_path, caplog):
    (tmp_path / "a.mp4").write_text("not a film")
    kept, files = prepare_clips(table(rows), processor, tmp_path / "cache")
    assert kept == [1, 2]
    assert len(files) == 2
    assert "1 of 3 clips" in caplog.text
    assert "a.mp4" in caplog.text


def test_a_file_that_vanished_is_named_and_left_out(rows, processor, tmp_path, caplog):
    (tmp_path / "b.mp4").unlink()
    assert prepare_clips(table(rows), processor, tmp_path / "cache")[0] == [0, 2]
    assert "b.mp4" in caplog.text


def test_nothing_readable_is_an_error(rows, processor, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("not a film")
    with pytest.raises(MediaError, match="None of the 2 clips.*a.mp4"):
        prepare_clips(table(rows[:2]), processor, tmp_path / "cache")


@pytest.mark.slow
def test_workers_prepare_what_one_process_prepares(rows, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(data_module, "FEWEST_CLIPS_FOR_WORKERS", 1)
    alone = load_clips(prepare_clips(table(rows), processor, tmp_path / "one", 1)[1])
    together = load_clips(prepare_clips(table(rows), processor, tmp_path / "two", 2)[1])
    for first, second in zip(alone, together, strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_allclose(second[key], value, atol=1e-5)


def samples(clips):
    return [{"clip": clip, "label": index % 3, "index": index} for index, clip in enumerate(clips)]


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_equal(value, other[key])
        else:
            assert torch.equal(value, other[key]), key


def test_without_augmentation_a_batch_is_the_processors(rows, processor, tmp_path):
    clips = load_clips(prepare_clips(table(rows), processor, tmp_path / "cache")[1])
    batch = ClipCollator(3, processor.image_processor)(samples(clips))
    read = [
        processor.read(
            row["video"], row["audio"], {name: np.array(values) for name, values in (row["features"] or {}).items()}
        )
        for row in rows
    ]
    expected = processor.batch(read)
    assert batch.pop("labels").tolist() == batch.pop("index").tolist() == [0, 1, 2]
    assert batch["audio_mask"].equal(expected["audio_mask"])
    assert batch["video_mask"].equal(expected["video_mask"])
    assert batch["feature_masks"]["units"].equal(expected["feature_masks"]["units"])
    for key in ("input_features", "pixel_values_videos"):
        torch.testing.assert_close(batch[key], expected[key], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(batch["features"]["units"], expected["features"]["units"])


def drawn(size: int = 8, steps: int = 12, frames: int = 3) -> list[dict]:
    generator = np.random.default_rng(0)
    return [
        {
            "input_features": generator.normal(index, 2, (steps + index, 6)).astype(np.float32),
            "crops": generator.integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8),
            "feature/units": generator.normal(size=5).astype(np.float32),
        }
        for index in range(size)
    ]


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
    modality_dropout=0.3,
    mixup=0.4,
)


def collator(clips, **options):
    augmentation = options.pop("augmentation", None) or Augmentation(**options)
    statistics = {name: feature_statistics(clips, name) for name in ("input_features", "feature/units")}
    return ClipCollator(3, TacfnImageProcessor(do_normalize=False), augmentation, statistics)


def test_augmentation_is_a_function_of_the_seed():
    clips = drawn()
    before = [{key: value.copy() for key, value in clip.items()} for clip in clips]
    augment = collator(clips, augmentation=EVERYTHING)

    def batch(seed):
        augment.seed(seed)
        return augment(samples(clips))

    first, other = batch(1), batch(2)
    assert_equal(batch(1), first)
    assert not torch.equal(first["pixel_values_videos"], other["pixel_values_videos"])
    assert not torch.equal(first["input_features"], other["input_features"][:, : first["input_features"].shape[1]])
    for clip, kept in zip(clips, before, strict=True):
        assert all(np.array_equal(clip[key], kept[key]) for key in clip), "a clip in memory was changed"


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once_stays_finite(seed):
    clips = drawn()
    augment = collator(clips, augmentation=EVERYTHING)
    augment.seed(seed)
    batch = augment(samples(clips))
    for value in [batch["input_features"], batch["pixel_values_videos"], batch["features"]["units"]]:
        assert value.isfinite().all()


def test_all_frames_of_a_clip_are_flipped_alike():
    clips = drawn(16)
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


def test_modality_dropout_never_takes_the_last_modality():
    clips = drawn(32)
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
    augment = ClipCollator(3, None, Augmentation(mixup=0.5))
    augment.seed(0)
    batch = augment(samples(clips))
    torch.testing.assert_close(batch["labels"].sum(1), torch.ones(9))
    torch.testing.assert_close(batch["features"]["units"], batch["labels"])
    assert ((batch["labels"] > 0.01) & (batch["labels"] < 0.99)).any()


def test_masks_hide_by_the_mean_of_training():
    clips = drawn(4)
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
    normalized = normalize_by_speaker(clips, speakers)
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
    clips = drawn(6)
    both = normalize_by_speaker(clips, ["a", "a", "a", "b", "b", "b"])
    alone = normalize_by_speaker(clips[:3], ["a"] * 3)
    for one, other in zip(alone, both, strict=False):
        assert np.array_equal(one["input_features"], other["input_features"])
