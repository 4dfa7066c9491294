import sys
import threading

import numpy as np
import pytest
from media_samples import draw_face

from modeling_tacfn import faces
from modeling_tacfn.faces import crop_faces, find_faces


def drawn_clip(num_frames=9, height=180, width=320, face_height=80, start=(110, 95), end=(110, 95)):
    """A face that goes from `start` to `end`; with the true centres."""
    parts = np.linspace(0, 1, num_frames)[:, None]
    centres = (1 - parts) * np.array(start) + parts * np.array(end)
    return np.stack([draw_face(height, width, centre, face_height) for centre in centres]), centres


def box_centres(boxes):
    return (boxes[:, :2] + boxes[:, 2:]) / 2


@pytest.mark.parametrize(
    ("height", "width", "face_height"),
    [
        (180, 320, 80),
        (320, 180, 90),
        (720, 1280, 350),
        (720, 1280, 80),
        (96, 96, 60),
        (480, 640, 200),
        (224, 224, 200),
    ],
)
def test_one_box_per_frame_around_the_face(height, width, face_height):
    centre = (width * 0.5, height * 0.52)
    frames = np.stack([draw_face(height, width, centre, face_height)] * 3)
    boxes = find_faces(frames)
    assert boxes.shape == (3, 4)
    assert boxes.dtype == np.float64
    np.testing.assert_allclose(box_centres(boxes), [centre] * 3, atol=0.15 * face_height)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert ((sides > 0.7 * face_height) & (sides < 1.35 * face_height)).all()


def test_no_face_is_none():
    rng = np.random.default_rng(0)
    assert find_faces(np.zeros((4, 120, 160, 3), np.uint8)) is None
    assert find_faces(rng.integers(0, 255, (4, 120, 160, 3), dtype=np.uint8)) is None
    assert find_faces(np.full((1, 1, 1, 3), 7, np.uint8)) is None


def test_boxes_between_searched_frames_follow_a_moving_face():
    frames, centres = drawn_clip(21, start=(70, 90), end=(230, 90))
    boxes = find_faces(frames, frames_searched=7)
    error = np.abs(box_centres(boxes) - centres)
    assert error.max() < 10
    steps = np.diff(box_centres(boxes)[:, 0])
    assert steps.min() > -2
    assert steps.max() < 16


def test_cost_does_not_grow_with_the_number_of_frames(monkeypatch):
    calls = []
    detect = faces.detect_faces
    monkeypatch.setattr(faces, "detect_faces", lambda *args: calls.append(1) or detect(*args))
    frames, _ = drawn_clip(40)
    assert find_faces(frames).shape == (40, 4)
    assert len(calls) == 5
    calls.clear()
    assert find_faces(frames[:2]).shape == (2, 4)
    assert len(calls) == 2


def test_black_padding_at_the_end_keeps_the_box():
    frames, _ = drawn_clip(10)
    frames[6:] = 0
    boxes = find_faces(frames)
    assert len(boxes) == 10
    np.testing.assert_allclose(box_centres(boxes), [(110, 95)] * 10, atol=8)


def test_the_face_in_front_wins():
    frame = draw_face(240, 426, (120, 120), 150)
    frame[:, 250:] = draw_face(240, 426, (340, 120), 70)[:, 250:]
    boxes = find_faces(np.stack([frame] * 5))
    np.testing.assert_allclose(box_centres(boxes), [(120, 120)] * 5, atol=20)


def _box(x, y, side):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def _find(monkeypatch, candidates, num_frames=None):
    remaining = iter([np.array(boxes, dtype=float).reshape(-1, 4) for boxes in candidates])
    monkeypatch.setattr(faces, "detect_faces", lambda *args: next(remaining))
    count = len(candidates)
    return find_faces(np.zeros((num_frames or count, 8, 8, 3), np.uint8), frames_searched=count)


def test_a_face_that_stays_beats_a_larger_one_seen_once(monkeypatch):
    stays = _box(100, 100, 60)
    boxes = _find(monkeypatch, [[stays], [stays, _box(300, 100, 90)], [stays], [stays], [stays]])
    np.testing.assert_allclose(boxes, [stays] * 5)


def test_a_single_wrong_box_is_smoothed_away(monkeypatch):
    right = _box(100, 100, 60)
    for wrong_at in range(5):
        candidates = [[right]] * 5
        candidates[wrong_at] = [_box(125, 110, 80)]
        np.testing.assert_allclose(_find(monkeypatch, candidates), [right] * 5)


def test_frames_without_a_detection_are_interpolated(monkeypatch):
    boxes = _find(monkeypatch, [[], [_box(100, 100, 60)], [], [_box(120, 100, 60)], []])
    np.testing.assert_allclose(box_centres(boxes)[:, 0], [100, 100, 110, 120, 120])


def test_boxes_are_never_inside_out(monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(50):
        candidates = [[_box(*rng.uniform(95, 125, 2), rng.uniform(40, 66))] for _ in range(5)]
        boxes = _find(monkeypatch, candidates, 9)
        assert (boxes[:, 2:] - boxes[:, :2] > 30).all()


def test_jumping_to_another_face_is_refused(monkeypatch):
    boxes = _find(monkeypatch, [[_box(100, 100, 60)], [_box(100, 100, 60)], [_box(400, 100, 60)]])
    np.testing.assert_allclose(boxes, [_box(100, 100, 60)] * 3)


def test_threads_have_a_cascade_each():
    frames, _ = drawn_clip(3)
    expected, results, cascades = find_faces(frames), [], set()

    def search():
        for _ in range(3):
            results.append(find_faces(frames))
        cascades.add(id(faces._local.cascade))
        barrier.wait()

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cascades) == 4
    assert len(results) == 12
    for boxes in results:
        np.testing.assert_array_equal(boxes, expected)


def test_missing_opencv_and_missing_cascades_name_the_remedy(monkeypatch):
    frames, _ = drawn_clip(1)
    monkeypatch.setattr(faces, "_local", threading.local())
    import cv2

    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(ImportError, match='pip install "opencv-python-headless<5"'):
        find_faces(frames)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match='pip install "opencv-python-headless<5"'):
        find_faces(frames)


def ramp(height=40, width=60):
    """Red grows by 4 a pixel to the right, green by 6 a pixel downwards."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.arange(width) * 4
    frame[..., 1] = np.arange(height)[:, None] * 6
    return frame


def test_crop_without_scaling_is_the_pixels_themselves():
    frame = ramp()
    crops = crop_faces(frame[None], np.array([[10, 5, 30, 25]]), size=20, margin=0.0)
    np.testing.assert_array_equal(crops[0], frame[5:25, 10:30])


def test_margin_grows_the_square_on_all_sides():
    frame = ramp()
    crops = crop_faces(frame[None], np.array([[20, 10, 40, 30]]), size=28, margin=0.4)
    np.testing.assert_array_equal(crops[0], frame[6:34, 16:44])


def test_aspect_is_kept_for_a_box_that_is_not_square():
    frame = ramp()
    crops = crop_faces(frame[None], np.array([[20, 10, 30, 30]]), size=20, margin=0.0)
    np.testing.assert_array_equal(crops[0], frame[10:30, 15:35])


def test_edges_are_repeated():
    frame = ramp()
    crops = crop_faces(frame[None], np.array([[-6, -4, 14, 16]]), size=20, margin=0.0)[0]
    np.testing.assert_array_equal(crops[4:, 6:], frame[:16, :14])
    np.testing.assert_array_equal(crops[4:, :6], np.repeat(frame[:16, :1], 6, axis=1))
    np.testing.assert_array_equal(crops[:4, 6:], np.repeat(frame[:1, :14], 4, axis=0))
    outside = crop_faces(frame[None], np.array([[100, 100, 120, 120]]), size=20, margin=0.0)[0]
    np.testing.assert_array_equal(outside, np.broadcast_to(frame[-1, -1], (20, 20, 3)))


@pytest.mark.parametrize("size", [1, 16, 224])
def test_crop_has_the_size_asked_for(size):
    crops = crop_faces(np.stack([ramp()] * 2), np.array([[3.3, 4.4, 17.7, 19.9], [0.0, 0.0, 0.2, 0.2]]), size, 0.3)
    assert crops.shape == (2, size, size, 3)
    assert crops.dtype == np.uint8


def test_fractions_of_pixels_move_the_crop_smoothly():
    """Rounding boxes to whole pixels would make a still face tremble."""
    frames = np.stack([ramp(40, 60)] * 5)
    boxes = np.array([[10 + part, 5, 30 + part, 25] for part in (0, 0.25, 0.5, 0.75, 1)])
    means = crop_faces(frames, boxes, 10, 0.0)[..., 0].mean(axis=(1, 2))
    np.testing.assert_allclose(np.diff(means), [1, 1, 1, 1], atol=0.4)


def test_each_frame_is_cut_with_its_own_box():
    frames = np.stack([ramp(), 255 - ramp()])
    boxes = np.array([[10, 5, 30, 25], [20, 10, 40, 30]])
    crops = crop_faces(frames, boxes, 20, 0.0)
    np.testing.assert_array_equal(crops[0], frames[0, 5:25, 10:30])
    np.testing.assert_array_equal(crops[1], frames[1, 10:30, 20:40])


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((4, 3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_frames_are_checked(frames):
    with pytest.raises(ValueError, match="frame"):
        find_faces(frames)
    with pytest.raises(ValueError, match="frame"):
        crop_faces(frames, np.zeros((4, 4)), 8, 0.0)


@pytest.mark.parametrize(
    ("boxes", "size", "margin", "message"),
    [
        ([[0, 0, 4, 4]], 8, 0.0, "one per frame"),
        ([[0, 0, 4, np.nan]] * 2, 8, 0.0, "finite boxes"),
        ([[4, 4, 0, 0]] * 2, 8, 0.0, "finite boxes"),
        ([[0, 0, 4, 4]] * 2, 8, -1.0, "margin"),
        ([[0, 0, 4, 4]] * 2, 0, 0.0, "size"),
        ([[0, 0, 4, 4]] * 2, 2.5, 0.0, "size"),
        ([[0, 0, 1e9, 1e9]] * 2, 8, 0.0, "far larger than"),
    ],
)
def test_boxes_are_checked(boxes, size, margin, message):
    with pytest.raises(ValueError, match=message):
        crop_faces(np.zeros((2, 8, 8, 3), np.uint8), np.array(boxes, dtype=float), size, margin)


def test_number_of_searched_frames_is_checked():
    for frames_searched in (0, -1, 1.5):
        with pytest.raises(ValueError, match="frames_searched"):
            find_faces(np.zeros((2, 8, 8, 3), np.uint8), frames_searched)


@pytest.mark.real_data
def test_faces_of_the_original_clips_are_all_found_and_steady(real_data):
    from modeling_tacfn.media import read_clip

    paths = sorted((real_data / "ravdess/video_720p").glob("*/*.mp4"))
    assert len(paths) == 8
    for path in paths:
        frames = read_clip(path, with_audio=False).frames
        boxes = find_faces(frames)
        sides = boxes[:, 2] - boxes[:, 0]
        assert ((sides > 350) & (sides < 500)).all()  # the actor fills more than half the height
        assert np.abs(np.diff(boxes, axis=0)).max() < 12
        assert crop_faces(frames, boxes, 224, 0.3).shape == (30, 224, 224, 3)


@pytest.mark.real_data
def test_faces_that_fill_the_picture_are_found(real_data):
    from modeling_tacfn.media import read_clip

    paths = sorted((real_data / "ravdess/actor05_face_crops").glob("*.mp4"))
    assert len(paths) == 60
    missed = [p.name for p in paths if find_faces(read_clip(p, with_audio=False).frames) is None]
    assert missed == []
