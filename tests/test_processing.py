"""The processor: files, arrays and tables in any mixture to tensors and masks, saved and loaded in every way."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from media_samples import draw_face, tone, write_mp4, write_sound

import modeling_tacfn  # noqa: F401  registers the classes with the Auto classes
from modeling_tacfn.feature_extraction_tacfn import TacfnFeatureExtractor
from modeling_tacfn.feature_tables import read_table
from modeling_tacfn.image_processing_tacfn import TacfnImageProcessor
from modeling_tacfn.media import MediaError
from modeling_tacfn.processing_tacfn import ClipInputs, TacfnProcessor


SECONDS, RATE, FRAMES, SIDE = 1.0, 16000, 25, 32
UNITS = ["AU12_r", "AU01_r", "AU04_r"]
SHIPPED = {
    "faces.py",
    "feature_arrays.py",
    "feature_extraction_tacfn.py",
    "feature_tables.py",
    "image_processing_tacfn.py",
    "media.py",
    "media_decode.py",
    "media_scan.py",
    "processing_tacfn.py",
    "prosody.py",
    "speaker_file.py",
    "torchaudio_cpu.py",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """One file of each kind: both modalities, no sound track, muted, no face, sound alone, nothing usable."""
    folder = tmp_path_factory.mktemp("clips")
    face = np.repeat(draw_face(240, 320, (160, 120), 130)[None], FRAMES, axis=0)
    wall = np.full_like(face, 128)
    sound, silence = tone(SECONDS, RATE), np.zeros(round(SECONDS * RATE), np.float32)
    return {
        "both": write_mp4(folder / "both.mp4", face, sound),
        "mute": write_mp4(folder / "mute.mp4", face),
        "muted": write_mp4(folder / "muted.mp4", face, silence),
        "faceless": write_mp4(folder / "faceless.mp4", wall, sound),
        "sound": write_sound(folder / "sound.wav", sound, RATE, "FLOAT"),
        "neither": write_mp4(folder / "neither.mp4", wall, silence),
        "black": write_mp4(folder / "black.mp4", np.zeros_like(face)),
        "frame": write_mp4(folder / "frame.mp4", face[:1], sound[: RATE // 25]),
    }


@pytest.fixture(scope="module")
def processor() -> TacfnProcessor:
    return small()


def small(**settings) -> TacfnProcessor:
    return TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=RATE, n_fft=512, hop_length=160, num_mel_bins=40),
        TacfnImageProcessor(num_frames=5, size={"height": SIDE, "width": SIDE}),
        **settings,
    )


def write_table(path, columns, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_defaults_are_the_papers():
    processor = TacfnProcessor()
    assert processor.feature_extractor.sampling_rate == 44100
    assert processor.feature_extractor.feature_size == 13
    assert processor.image_processor.num_frames == 30
    assert processor.image_processor.size == {"height": 224, "width": 224}


def test_a_file_gives_sound_and_pictures(processor, clips):
    batch = processor(str(clips["both"]))
    assert set(batch) == {"input_features", "audio_mask", "pixel_values_videos", "video_mask"}
    assert batch["input_features"].shape == (1, 101, 13)
    assert batch["pixel_values_videos"].shape == (1, 5, 3, SIDE, SIDE)
    assert batch["input_features"].dtype == batch["pixel_values_videos"].dtype == torch.float32
    assert batch["audio_mask"].dtype == batch["video_mask"].dtype == torch.bool
    assert batch["audio_mask"].all()
    assert batch["video_mask"].all()
    assert set(batch) <= set(processor.model_input_names)


def test_sound_is_resampled_to_the_extractors_rate(processor, clips):
    waveform = tone(SECONDS, RATE)
    assert torch.equal(
        processor(audio=clips["sound"])["input_features"],
        processor(audio=waveform, sampling_rate=RATE)["input_features"],
    )
    read = processor.read(audio=tone(SECONDS, 2 * RATE), sampling_rate=2 * RATE).waveform
    assert read.shape == waveform.shape
    np.testing.assert_allclose(read[100:-100], waveform[100:-100], atol=1e-3)


def test_mixed_clips_get_masks_and_each_is_as_alone(processor, clips):
    names = ["both", "mute", "faceless", "sound", "frame", "muted"]
    batch = processor([clips[name] for name in names])
    assert batch["audio_mask"].any(1).tolist() == [True, False, True, True, True, False]
    assert batch["video_mask"].any(1).tolist() == [True, True, False, False, True, True]
    for index, name in enumerate(names):
        alone = processor(clips[name])
        for values, mask in (("input_features", "audio_mask"), ("pixel_values_videos", "video_mask")):
            kept = batch[values][index][batch[mask][index]]
            assert (batch[values][index][~batch[mask][index]] == 0).all()
            expected = alone[values][0][alone[mask][0]] if values in alone else kept[:0]
            torch.testing.assert_close(kept, expected, atol=1e-5, rtol=0)


def test_batch_order_does_not_matter(processor, clips):
    names = ["mute", "both", "sound"]
    forward = processor([clips[name] for name in names])
    backward = processor([clips[name] for name in reversed(names)])
    for key in forward:
        assert torch.equal(forward[key], backward[key].flip(0))


def test_a_modality_no_clip_has_is_left_out(processor, clips):
    assert set(processor(clips["mute"])) == {"pixel_values_videos", "video_mask"}
    assert set(processor(audio=clips["sound"])) == {"input_features", "audio_mask"}
    # A silent track and frames without a face were given: they are there, and masked.
    assert not processor(clips["muted"])["audio_mask"].any()
    assert not processor(clips["faceless"])["video_mask"].any()


@pytest.mark.parametrize("name", ["neither", "black"])
def test_a_clip_without_anything_is_refused(processor, clips, name):
    with pytest.raises(MediaError, match=rf"{name}.mp4: expected a face, audible sound or features"):
        processor([clips["both"], clips[name]])
    with pytest.raises(MediaError, match="found none of them"):
        processor([clips["both"], None])


def test_features_can_stand_in_for_a_lost_modality(clips):
    processor = small(static_features=["action_units"])
    batch = processor(clips["neither"], features={"action_units": np.ones(3)})
    assert not batch["audio_mask"].any()
    assert batch["feature_masks"]["action_units"].all()


def test_sound_can_be_left_out_or_replaced(processor, clips):
    assert "input_features" not in processor(clips["both"], audio=False)
    other = tone(0.5, RATE, 1000)
    replaced = processor(clips["both"], audio=other, sampling_rate=RATE)
    assert replaced["input_features"].shape == (1, 51, 13)
    batch = processor(
        [clips["both"]] * 4, audio=[None, False, other, clips["sound"]], sampling_rate=[None, None, RATE, None]
    )
    assert batch["audio_mask"].sum(1).tolist() == [101, 0, 51, 101]


def test_an_audio_file_without_a_sound_track_counts_as_absent(processor, clips, caplog):
    batch = processor(clips["both"], audio=clips["mute"])
    assert "input_features" not in batch
    assert "counts as absent" in caplog.text
    with pytest.raises(MediaError, match="found none of them"):
        processor(audio=clips["mute"])


def test_arrays(processor):
    frames = np.repeat(draw_face(240, 320, (160, 120), 130)[None], 12, axis=0)
    batch = processor(frames, audio=(tone(0.5, RATE) * 32767).astype(np.int16), sampling_rate=RATE)
    assert batch["pixel_values_videos"].shape == (1, 5, 3, SIDE, SIDE)
    assert batch["input_features"].shape == (1, 51, 13)
    assert processor(frames[None].repeat(2, 0))["video_mask"].shape == (2, 5)
    assert processor(frames[:1])["video_mask"].tolist() == [[True]]


def test_batches_move_and_cast_as_a_whole():
    processor = small(static_features=["units"])
    batch = processor(
        audio=tone(0.2, RATE), sampling_rate=RATE, features={"units": np.ones(3), "text": np.ones((2, 4))}
    )
    batch.to("meta", dtype=torch.float64)
    assert batch["features"]["text"].device.type == "meta"
    assert batch["features"]["units"].dtype == batch["input_features"].dtype == torch.float64
    assert batch["feature_masks"]["units"].dtype == torch.bool
    arrays = processor(audio=tone(0.2, RATE), sampling_rate=RATE, features={"units": np.ones(3)}, return_tensors="np")
    assert isinstance(arrays["input_features"], np.ndarray)
    assert isinstance(arrays["features"]["units"], np.ndarray)


def test_read_then_batch_is_the_call(processor, clips):
    clip = processor.read(clips["both"], keep_frames=True)
    assert clip.frames.shape == (5, 240, 320, 3)
    assert clip.crops.shape == (5, SIDE, SIDE, 3)
    assert clip.boxes.shape == (5, 4)
    assert np.all(np.diff(clip.frame_seconds) > 0)
    assert len(clip.waveform) == RATE
    assert clip.sampling_rate == RATE
    assert processor.read(clips["both"]).frames is None
    called, batched = processor(clips["both"]), processor.batch([clip])
    assert all(torch.equal(called[key], batched[key]) for key in called)


def test_a_window_is_read(processor, clips):
    clip = processor.read(clips["both"], start_seconds=0.2, end_seconds=0.7)
    assert len(clip.waveform) == RATE // 2
    assert len(processor.read(audio=clips["sound"], start_seconds=0.2, end_seconds=0.7).waveform) == RATE // 2


def test_batch_refuses_clips_of_another_processor(processor):
    with pytest.raises(ValueError, match="expected waveforms at 16000 Hz, got one at 44100"):
        processor.batch([ClipInputs(waveform=tone(0.1, 44100), sampling_rate=44100)])
    with pytest.raises(ValueError, match="empty list"):
        processor.batch([])


def test_without_video_only_the_sound_of_a_file_is_read(clips):
    processor = small(do_video=False)
    assert set(processor(clips["both"])) == {"input_features", "audio_mask"}
    assert processor(clips["both"], audio=tone(0.5, RATE), sampling_rate=RATE)["input_features"].shape == (1, 51, 13)
    with pytest.raises(ValueError, match="do_video=False"):
        processor(np.zeros((2, 8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got none of them"),
        ({"audio": False}, "got none of them"),
        ({"videos": []}, "empty lists"),
        ({"videos": [np.zeros((2, 8, 8, 3), np.uint8)] * 2, "audio": [tone(0.1)]}, "got videos: 2, audio: 1"),
        ({"audio": [tone(0.1)] * 2, "sampling_rate": [RATE]}, "audio: 2, sampling_rate: 1"),
        ({"audio": [tone(0.1)] * 2, "features": {"text": np.ones((1, 2))}}, r"audio: 2, features\['text'\]: 1"),
        ({"audio": np.array([0.0, np.nan])}, "NaN or infinity"),
        ({"audio": np.zeros((2, 100))}, "axis 0 looks like channels"),
        ({"audio": np.zeros(0)}, "got an empty one"),
        ({"audio": np.zeros(100), "sampling_rate": RATE}, "found silent sound"),
        ({"videos": np.zeros((2, 8, 8, 3), np.uint8)}, "found frames without a usable face"),
        ({"videos": np.full((2, 8, 8, 3), np.nan)}, "NaN or infinity"),
        ({"videos": np.zeros((8, 8, 3), np.uint8)}, r"got \(8, 8, 3\)"),
        ({"videos": np.zeros((0, 8, 8, 3), np.uint8)}, "at least one frame"),
        ({"videos": "no_such_file.mp4"}, "no_such_file.mp4"),
        ({"features": {"text": np.ones(3)}}, r"'text' to have shape \(num_steps, dim\), got \(3,\)"),
        ({"features": {"text": np.full((2, 2), np.inf)}}, "got infinity"),
        ({"features": {"text": np.full((2, 2), np.nan)}}, "features that are all missing"),
        ({"features": {"text": [np.ones((2, 2)), np.ones((2, 3))]}}, r"shapes \[\(2, 2\), \(2, 3\)\]"),
        ({"features": {"units": np.ones((2, 2))}}, "expected 3 numbers per step of 'units'"),
        ({"features": {"gaze": "file.csv"}}, "feature_columns"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(feature_columns={"units": UNITS})(**arguments)


# Feature tables


def test_per_frame_table_of_openface(tmp_path):
    columns = ["frame", " timestamp", " confidence", " success", " AU01_r", " AU04_r", " AU12_r"]
    rows = [[1, 0.0, 0.98, 1, 0.1, 0.4, 1.2], [2, 0.04, 0.02, 0, 9, 9, 9], [3, 0.08, 0.98, 1, 0.3, "", 1.6]]
    path = write_table(tmp_path / "clip.csv", columns, rows)
    values = read_table(path, UNITS)
    np.testing.assert_allclose(values, [[1.2, 0.1, 0.4], [np.nan] * 3, [1.6, 0.3, np.nan]])

    sequence = small(feature_columns={"units": UNITS})(features={"units": path})
    assert sequence["features"]["units"].shape == (1, 3, 3)
    assert sequence["feature_masks"]["units"].tolist() == [[True, False, False]]
    assert (sequence["features"]["units"][0, 1:] == 0).all()

    vector = small(feature_columns={"units": UNITS}, static_features=["units"])(features={"units": str(path)})
    torch.testing.assert_close(vector["features"]["units"], torch.tensor([[1.4, 0.2, 0.4]]))
    assert vector["feature_masks"]["units"].tolist() == [[True] * 3]


def test_table_of_means_by_clip(tmp_path):
    path = write_table(
        tmp_path / "means.csv",
        ["clip_id", "AU01_r", "AU04_r", "AU12_r"],
        [["a", 1, 2, 3], ["b", 4, "", 6], *[[f"c{index}", 0, 0, 0] for index in range(9)]],
    )
    processor = small(feature_columns={"units": UNITS}, static_features=["units"])
    batch = processor(features={"units": [f"{path}#b", None, f"{path}#a"]}, audio=[None, tone(0.1, RATE), None])
    assert batch["features"]["units"].tolist() == [[6, 4, 0], [0, 0, 0], [3, 1, 2]]
    assert batch["feature_masks"]["units"].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    with pytest.raises(ValueError, match=r"row of clip 'z', found 11 others, among them 'a', 'b', .* and 6 more"):
        processor(features={"units": f"{path}#z"})
    with pytest.raises(ValueError, match=r"holds 11 clips.*'means.csv#a'"):
        processor(features={"units": path})


def test_a_table_that_changed_is_read_again(tmp_path):
    path = write_table(tmp_path / "clip.csv", ["a"], [[1]])
    assert read_table(path, ["a"]).tolist() == [[1]]
    write_table(path, ["a"], [[12345]])
    assert read_table(path, ["a"]).tolist() == [[12345]]


@pytest.mark.parametrize(
    ("content", "source", "message"),
    [
        ("a,b\n1,2\n", "x.csv", r"expected the columns \['c'\], found 'a', 'b'"),
        ("c\nhello\n", "x.csv", "column 'c', got 'hello'"),
        ("c\ninf\n", "x.csv", "column 'c', got 'inf'"),
        ("c\n", "x.csv", "at least one row"),
        ("", "x.csv", "at least one row"),
        ("a,c\n1,2\n1\n", "x.csv", "expected 2 cells in row 3, got 1"),
        ("c\n1\n", "x.csv#id", "no `clip_id` column"),
        ("c\n1\n", "y.csv", "found no file"),
    ],
)
def test_refuses_tables(tmp_path, content, source, message):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / source, ["c"])


def test_refuses_a_binary_file_as_table(tmp_path):
    (tmp_path / "x.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="expected a CSV file in UTF-8"):
        read_table(tmp_path / "x.csv", ["c"])


@pytest.mark.real_data
def test_published_action_units(real_data):
    path = real_data / "ravdess" / "openface_au_mean.csv"
    processor = small(feature_columns={"units": ["AU01_r", "AU45_c"]}, static_features=["units"])
    batch = processor(features={"units": f"{path}#01-01-01-01-01-01-01"})
    torch.testing.assert_close(batch["features"]["units"], torch.tensor([[0.0719388, 0.346939]]))


@pytest.mark.real_data
def test_real_clips(real_data):
    paths = sorted((real_data / "ravdess" / "video_720p").glob("*/*.mp4"))
    batch = TacfnProcessor()([paths[0], paths[-1]])
    assert batch["video_mask"].all()
    assert batch["audio_mask"].any(1).tolist() == [True, False]  # RAVDESS' video-only files carry a muted track
    flv, mp4 = (real_data / "crema_d" / f"1001_DFA_ANG_XX.{suffix}" for suffix in ("flv", "mp4"))
    batch = TacfnProcessor()([flv, mp4])
    assert batch["video_mask"].all()
    assert batch["audio_mask"].any(1).all()


# Saving and loading


def settings_of(processor) -> dict:
    content = processor.to_dict()
    for part in (content, content["feature_extractor"], content["image_processor"]):
        part.pop("auto_map", None)
    return content


def test_every_setting_is_saved(tmp_path):
    saved = small(feature_columns={"units": UNITS, "gaze": ["x"]}, static_features=["units"], do_video=False)
    saved.save_pretrained(tmp_path)
    for loaded in (TacfnProcessor.from_pretrained(tmp_path), transformers.AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is TacfnProcessor
        assert loaded.feature_columns == {"units": UNITS, "gaze": ["x"]}
        assert loaded.static_features == ["units"]
        assert loaded.do_video is False
        assert settings_of(loaded) == settings_of(saved)
    assert type(transformers.AutoFeatureExtractor.from_pretrained(tmp_path)) is TacfnFeatureExtractor
    assert type(transformers.AutoImageProcessor.from_pretrained(tmp_path)) is TacfnImageProcessor


@pytest.mark.slow
def test_code_beside_the_weights_reads_a_file_without_the_package(tmp_path, processor, clips):
    processor.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").glob("*.py")} == SHIPPED
    # The process meets transformers first, as a user's does. Where torchaudio is a CUDA build beside a CPU torch that
    # import fails before any shipped code runs, so that the shipped cure is applied by hand.
    script = f"""
import importlib.util, sys
sys.modules["modeling_tacfn"] = None  # installed or not, it cannot be imported here
spec = importlib.util.spec_from_file_location("cure", "saved/torchaudio_cpu.py")
cure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cure)
cure.make_importable()
import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoProcessor
processor = AutoProcessor.from_pretrained("saved", trust_remote_code=True)
torch.save(dict(processor({str(clips["both"])!r})), "batch.pt")
for auto_class, part in ((AutoFeatureExtractor, "feature_extractor"), (AutoImageProcessor, "image_processor")):
    assert auto_class.from_pretrained("saved", trust_remote_code=True).to_dict() == getattr(processor, part).to_dict()
processor.save_pretrained("again")
"""
    environment = {**os.environ, "PYTHONPATH": "", "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stderr[-3000:]
    loaded = torch.load(tmp_path / "batch.pt")
    expected = processor(clips["both"])
    assert set(loaded) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(loaded[key], value, atol=1e-5, rtol=0)
    assert {path.name for path in (tmp_path / "again").glob("*.py")} == SHIPPED


def test_square_root_of_a_skewed_feature(tmp_path):
    processor = TacfnProcessor(static_features=["units"], square_root_features=["units"])
    rows = np.array([[1.0, 4.0], [7.0, np.nan]], np.float32)
    values = processor(features={"units": rows})["features"]["units"]
    torch.testing.assert_close(values, torch.tensor([[2.0, 2.0]]))
    processor.save_pretrained(tmp_path)
    again = TacfnProcessor.from_pretrained(tmp_path)
    assert torch.equal(again(features={"units": rows})["features"]["units"], values)
    with pytest.raises(ValueError, match="no negative number in the feature 'units'.*-1"):
        processor(features={"units": np.array([-1.0, 4.0], np.float32)})


def test_a_part_of_the_picture_and_a_sound_that_starts_later(processor, clips):
    whole = processor.read(clips["both"], keep_frames=True).frames
    right = processor.read(clips["both"], frame_region=(0.5, 0, 1, 0.5), keep_frames=True).frames
    assert np.array_equal(right, whole[:, :120, 160:])
    arguments = {"start_seconds": 0.2, "end_seconds": 0.7, "audio_offset_seconds": 0.2}
    assert len(processor.read(audio=clips["sound"], **arguments).waveform) == RATE // 2
    # The sound inside of the video has no clock of its own.
    inside = processor.read(clips["both"], **arguments).waveform
    assert np.array_equal(inside, processor.read(clips["both"], start_seconds=0.2, end_seconds=0.7).waveform)
    with pytest.raises(ValueError, match="fractions from 0 to 1 in order"):
        processor.read(clips["both"], frame_region=(0.5, 0, 0.5, 1))
