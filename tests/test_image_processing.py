"""Frames to crops to pixels: aspect, masks, normalisation, and clear words about frames that cannot be right."""

import numpy as np
import pytest
import torch
from media_samples import draw_face

from modeling_tacfn.image_processing_tacfn import TacfnImageProcessor


MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def face_frames() -> np.ndarray:
    return np.stack([draw_face(240, 320, (150 + 2 * index, 120), 130) for index in range(6)])


def whole(size: int = 32, **settings) -> TacfnImageProcessor:
    return TacfnImageProcessor(size={"height": size, "width": size}, do_face_crop=False, **settings)


def noise(num_frames: int = 4, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def test_pixels_are_imagenet_normalised_rgb():
    frames = noise()
    batch = whole()(frames)
    expected = ((frames / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    assert batch["pixel_values_videos"].shape == (1, 4, 3, 32, 32)
    assert batch["pixel_values_videos"].dtype == np.float32
    np.testing.assert_allclose(batch["pixel_values_videos"][0], expected, atol=1e-5)
    assert batch["video_mask"].tolist() == [[True] * 4]


def test_rescale_and_normalise_can_be_left_out():
    frames = noise()
    planes = frames.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(whole(do_normalize=False).normalize(frames), planes / 255, atol=1e-6)
    np.testing.assert_allclose(whole(do_normalize=False, do_rescale=False).normalize(frames), planes, atol=1e-4)
    half = whole(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    np.testing.assert_allclose(half.normalize(frames), planes / 127.5 - 1, atol=1e-5)


def test_normalize_takes_cached_batches_of_arrays_and_tensors():
    crops = np.stack([noise(), noise(seed=1)])
    pixels = whole().normalize(crops)
    assert pixels.shape == (2, 4, 3, 32, 32)
    torch.testing.assert_close(whole().normalize(torch.from_numpy(crops)), torch.from_numpy(pixels), atol=1e-5, rtol=0)


def test_frames_are_taken_from_the_middles_of_equal_parts():
    numbered = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    assert whole(num_frames=5).sample(numbered)[:, 0, 0, 0].tolist() == [10, 30, 50, 70, 90]
    assert len(whole(num_frames=None).sample(numbered)) == 100
    assert len(whole(num_frames=200).sample(numbered)) == 100
    assert whole(num_frames=1).sample(numbered[:1]).shape == (1, 4, 4, 3)


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40)])
def test_centre_square_keeps_the_aspect(height, width):
    frames = np.full((2, height, width, 3), 50, np.uint8)
    square = frames[:, height // 2 - 20 : height // 2 + 20, width // 2 - 20 : width // 2 + 20]
    square[..., 1] = np.arange(40)[:, None] * 6
    square[..., 2] = np.arange(40)[None, :] * 6
    crops, valid, boxes = whole(20).crops(frames)
    assert crops.shape == (2, 20, 20, 3)
    assert valid.all()
    assert boxes is None
    ramp = np.arange(20) * 12 + 3
    np.testing.assert_allclose(crops[0, 2:-2, 10, 1], ramp[2:-2], atol=2)
    np.testing.assert_allclose(crops[0, 10, 2:-2, 2], ramp[2:-2], atol=2)


def test_frames_of_the_right_size_are_not_touched():
    frames = noise()
    np.testing.assert_array_equal(whole().crops(frames)[0], frames)


def test_face_is_found_and_cut(face_frames):
    processor = TacfnImageProcessor(size={"height": 64, "width": 64}, num_frames=None)
    crops, valid, boxes = processor.crops(face_frames)
    assert crops.shape == (6, 64, 64, 3)
    assert valid.all()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres[:, 0], 150 + 2 * np.arange(6), atol=20)
    np.testing.assert_allclose(centres[:, 1], 120, atol=25)
    wider = TacfnImageProcessor(size={"height": 64, "width": 64}, face_margin=1.0).crops(face_frames, boxes)[0]
    # The wall behind the drawn face is greyish blue; a wider margin shows more of it.
    assert (wider[..., 2] > wider[..., 0]).mean() > (crops[..., 2] > crops[..., 0]).mean() + 0.1


def test_black_frames_are_masked_and_do_not_move_the_box(face_frames):
    processor = TacfnImageProcessor(size={"height": 64, "width": 64})
    padded = np.concatenate([face_frames, np.zeros((14, 240, 320, 3), np.uint8)])
    crops, valid, boxes = processor.crops(padded)
    assert valid.tolist() == [True] * 6 + [False] * 14
    np.testing.assert_array_equal(crops[:6], processor.crops(face_frames)[0])
    assert np.isnan(boxes[6:]).all()
    assert np.isfinite(boxes[:6]).all()
    batch = processor(padded)
    assert batch["video_mask"].tolist() == [[True] * 6 + [False] * 14]
    assert (batch["pixel_values_videos"][0, 6:] == 0).all()


def test_without_a_face_every_frame_is_masked(caplog):
    processor = TacfnImageProcessor(size={"height": 32, "width": 32})
    wall = np.full((3, 120, 160, 3), 128, np.uint8)
    batch = processor(wall)
    assert not batch["video_mask"].any()
    assert (batch["pixel_values_videos"] == 0).all()
    assert "do_face_crop=False" in caplog.text


def test_all_black_frames_are_masked_with_a_warning(caplog):
    for do_face_crop in (True, False):
        processor = TacfnImageProcessor(size={"height": 32, "width": 32}, do_face_crop=do_face_crop)
        assert not processor(np.zeros((3, 40, 60, 3), np.uint8))["video_mask"].any()
    assert caplog.text.count("Every frame of this clip is black") == 2


def test_alone_equals_batched():
    clips = [noise(5), noise(1, seed=1), noise(3, 50, 70, seed=2)]
    processor = whole()
    batch = processor(clips, return_tensors="pt")
    assert batch["video_mask"].sum(1).tolist() == [5, 1, 3]
    for index, clip in enumerate(clips):
        alone = processor(clip, return_tensors="pt")["pixel_values_videos"][0]
        assert torch.equal(batch["pixel_values_videos"][index, : len(clip)], alone)
        assert (batch["pixel_values_videos"][index, len(clip) :] == 0).all()


def test_crops_can_be_kept_and_normalised_later(face_frames):
    processor = TacfnImageProcessor(size={"height": 64, "width": 64})
    crops, valid, _ = processor.crops(face_frames)
    later = processor.preprocess([crops], [valid], cropped=True)
    np.testing.assert_array_equal(later["pixel_values_videos"], processor(face_frames)["pixel_values_videos"])
    with pytest.raises(ValueError, match="expected crops of 64x64 pixels, got 240x320"):
        processor.preprocess([face_frames], cropped=True)


def test_input_is_not_changed(face_frames):
    copy = face_frames.copy()
    TacfnImageProcessor(size={"height": 32, "width": 32})(face_frames)
    np.testing.assert_array_equal(face_frames, copy)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (noise()[0], r"got \(32, 32, 3\).*frames\[None\]"),
        ([noise()[None]], r"got \(1, 4, 32, 32, 3\).*list\(frames\)"),
        (noise().transpose(0, 3, 1, 2), r"channels seem to come first.*transpose\(0, 2, 3, 1\)"),
        (noise()[..., :1], "Repeat the grey channel"),
        (np.concatenate([noise(), noise()[..., :1]], -1), "Drop the alpha channel"),
        (noise()[:0], "at least one frame"),
        (noise()[:, :0], "at least one pixel"),
        (noise() / 255, r"got float64\. Pass the decoded bytes"),
        (np.full((2, 8, 8, 3), np.nan), "float64 that hold NaN or infinity"),
        (noise().astype(np.int64), "got int64"),
        ([], "at least one clip"),
    ],
)
def test_refuses_frames(frames, message):
    with pytest.raises(ValueError, match=message):
        whole()(frames)


def test_refuses_boxes_of_another_clip(face_frames):
    with pytest.raises(ValueError, match=r"shape \(6, 4\), got \(5, 4\)"):
        TacfnImageProcessor().crops(face_frames, np.zeros((5, 4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"height": 224, "width": 112}}, "square"),
        ({"size": {"shortest_edge": 224}}, "square"),
        ({"num_frames": 0}, "num_frames"),
        ({"face_margin": -0.1}, "face_margin"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TacfnImageProcessor(**settings)


@pytest.mark.parametrize("num_frames", [None, 15])
def test_every_number_is_saved(tmp_path, num_frames):
    settings = {
        "num_frames": num_frames,
        "size": {"height": 112, "width": 112},
        "do_face_crop": False,
        "face_margin": 0.1,
        "do_rescale": True,
        "rescale_factor": 1 / 127.5,
        "do_normalize": False,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1.0, 2.0, 3.0],
    }
    TacfnImageProcessor(**settings).save_pretrained(tmp_path)
    loaded = TacfnImageProcessor.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in settings} == settings


@pytest.mark.real_data
def test_real_crops_end_in_black_frames_that_are_masked(real_data):
    from modeling_tacfn.media import read_clip

    paths = sorted((real_data / "ravdess" / "actor05_face_crops").glob("*.mp4"))
    valid = [whole(224).crops(read_clip(path, None, with_audio=False).frames)[1] for path in paths]
    assert sum(len(frames) for frames in valid) == 900
    assert sum((~frames).sum() for frames in valid) == 26
