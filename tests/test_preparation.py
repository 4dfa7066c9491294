"""Clips prepared once and kept on disk."""

import sys
import tracemalloc

import datasets
import numpy as np
import pytest
import torch
from media_samples import numbered_frames, tone, write_mp4, write_sound
from prepared_clips import samples

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor, preparation
from modeling_tacfn.data import ClipCollator, load_clips
from modeling_tacfn.media import MediaError
from modeling_tacfn.preparation import clip_key, prepare_clips, read_rows


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
        patch.setattr(preparation, "prepare_clip", None)
        assert prepare_clips(table(rows), processor, tmp_path / "cache") == (kept, files)
    processor.image_processor.num_frames = 3
    assert not set(prepare_clips(table(rows), processor, tmp_path / "cache")[1]) & set(files)


def test_workers_that_die_say_why(rows, processor, tmp_path, monkeypatch):
    """A worker starts by importing the script; here it ends there."""
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit(1)")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    monkeypatch.setattr(preparation, "FEWEST_CLIPS_FOR_WORKERS", 1)
    with pytest.raises(RuntimeError, match="__main__.*num_proc=1"):
        prepare_clips(table(rows), processor, tmp_path / "cache", num_proc=2)
    assert not list((tmp_path / "cache").iterdir())


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
    monkeypatch.setattr(preparation, "FEWEST_CLIPS_FOR_WORKERS", 1)
    alone = load_clips(prepare_clips(table(rows), processor, tmp_path / "one", 1)[1])
    together = load_clips(prepare_clips(table(rows), processor, tmp_path / "two", 2)[1])
    for first, second in zip(alone, together, strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_allclose(second[key], value, atol=1e-5)


@pytest.mark.parametrize("blue_first", [False, True])
def test_without_augmentation_a_batch_is_the_processors(rows, processor, tmp_path, blue_first):
    processor.image_processor.do_flip_channel_order = blue_first
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


FEATURES = datasets.Features(
    {
        "clip_id": datasets.Value("string"),
        "features": {
            "words": datasets.List(datasets.List(datasets.Value("float32"))),
            "units": datasets.List(datasets.Value("float32")),
        },
    }
)


def written_corpus(folder, num_clips: int, steps: int, size: int) -> datasets.Dataset:
    def rows():
        for index in range(num_clips):
            words = np.full((steps, size), index, np.float32)
            yield {"clip_id": str(index), "features": {"words": words, "units": [index, -1.0] if index % 2 else None}}

    return datasets.Dataset.from_generator(rows, features=FEATURES, cache_dir=str(folder), writer_batch_size=20)


def test_features_of_a_corpus_are_read_as_arrays(tmp_path):
    corpus = written_corpus(tmp_path, 5, 4, 3)
    first, second = read_rows(corpus, [2, 3])
    assert first["clip_id"] == "2"
    assert set(first["features"]) == {"words"}
    np.testing.assert_array_equal(first["features"]["words"], np.full((4, 3), 2, np.float32))
    assert second["features"]["units"].tolist() == [3, -1]
    assert second["features"]["units"].dtype == np.float32
    assert clip_key(first, "") != clip_key(second, "")
    assert clip_key(second, "") == clip_key(corpus[3], "")
    longer = second | {"features": second["features"] | {"words": np.full((3, 4), 3, np.float32)}}
    assert clip_key(longer, "") != clip_key(second, "")


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    corpus = written_corpus(tmp_path, 400, 50, 100)  # 8 MB
    tracemalloc.start()
    try:
        assert sum(len(row["features"]) for row in read_rows(corpus, range(len(corpus)))) == 600
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
