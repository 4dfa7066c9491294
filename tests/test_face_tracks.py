"""OpenFace's tables instead of a search for the face."""

import numpy as np
import pytest
from media_samples import write_mp4

from modeling_tacfn import TacfnImageProcessor, TacfnProcessor, image_processing_tacfn, preparation
from modeling_tacfn.face_tracks import read_face_track
from modeling_tacfn.faces import find_faces
from modeling_tacfn.media import MediaError, read_clip
from modeling_tacfn.preparation import clip_key, prepare_clip


WIDTH, HEIGHT, RATE = 160, 120, 25
# In the order in which OpenFace 2.1 writes them, the many eye landmarks left out.
HEADER = [
    *(
        "frame",
        "face_id",
        "timestamp",
        "confidence",
        "success",
        "gaze_0_x",
        "gaze_angle_x",
        "eye_lmk_x_0",
        "eye_lmk_y_0",
    ),
    *("pose_Tx", "pose_Rx"),
    *(f"{axis}_{index}" for axis in ("x", "y", "X", "Y", "Z") for index in range(68)),
    *("p_scale", "p_0", "AU01_r", "AU45_c"),
]


def table_line(index, box, success=1, face=0, rate=RATE):
    """A line as OpenFace writes it: landmarks spread over `box`, one decimal, fixed notation."""
    angles = np.linspace(0, 2 * np.pi, 69)[:68]
    left, top, right, bottom = box
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angles)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angles)
    cells = [
        str(index + 1),
        str(face),
        f"{index / rate:.3f}",
        "0.98",
        str(success),
        "0.1",
        "0.0",
        "7.0",
        "8.0",
        "1.5",
        "0.0",
    ]
    cells += [f"{value:.1f}" for value in (*x, *y)] + ["-999.9"] * (3 * 68) + ["1.200", "0.3", "0.70", "1.0"]
    return cells


def write_table(path, lines, header=HEADER, separator=", "):
    path.write_text("\n".join(separator.join(line) for line in (header, *lines)) + "\n")
    return path


@pytest.fixture
def box():
    return np.array([60.0, 30.0, 100.0, 80.0])


def test_read(tmp_path, box):
    lines = [table_line(index, box + index, success=int(index != 1)) for index in range(4)]
    track = read_face_track(write_table(tmp_path / "a.csv", lines))
    np.testing.assert_allclose(track.seconds, [0, 0.04, 0.08, 0.12])
    np.testing.assert_allclose(track.boxes, [box + index for index in range(4)], atol=0.15)
    assert track.landmarks.shape == (4, 68, 2)
    np.testing.assert_allclose(track.landmarks[2, 0], [102, 57], atol=0.06)
    assert track.success.tolist() == [True, False, True, True]


def test_columns_are_found_by_name(tmp_path, box):
    lines = [table_line(index, box) for index in range(3)]
    usual = read_face_track(write_table(tmp_path / "a.csv", lines))
    order = np.random.default_rng(0).permutation(len(HEADER))
    mixed = [[line[place] for place in order] for line in lines]
    header = [HEADER[place] for place in order]
    other = read_face_track(write_table(tmp_path / "b.csv", mixed, header, separator=","))
    for name in ("seconds", "boxes", "landmarks", "success"):
        np.testing.assert_array_equal(getattr(other, name), getattr(usual, name))


def test_of_several_faces_the_one_seen_most_is_taken(tmp_path, box):
    lines = [
        line for index in range(4) for line in (table_line(index, box - 20, face=0), table_line(index, box, face=1))
    ]
    track = read_face_track(write_table(tmp_path / "a.csv", lines[1:]))
    np.testing.assert_allclose(track.boxes, [box] * 4, atol=0.15)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (
            lambda header, lines: (header[:20], [line[:20] for line in lines]),
            r"missing: x_9, x_10, x_11, x_12, x_13 and 122",
        ),
        (lambda header, lines: ([name.replace("timestamp", "time") for name in header], lines), "missing: timestamp"),
        (lambda header, lines: (header, []), "found only the names of the columns"),
        (lambda header, lines: (header, [*lines, lines[0][:50]]), r"line 5: expected 355 cells .*50 cells"),
        (lambda header, lines: (header, [lines[0], ["much"] * len(header)]), r"line 3: .*could not convert"),
        (lambda header, lines: (header, lines[::-1]), "timestamps that ascend"),
        (
            lambda header, lines: (header, [[cell.replace("0.000", "nan") for cell in lines[0]]]),
            "timestamps that ascend",
        ),
    ],
)
def test_damaged_tables_are_named(tmp_path, box, damage, why):
    lines = [table_line(index, box) for index in range(3)]
    path = write_table(tmp_path / "a.csv", *reversed(damage(HEADER, lines)))
    with pytest.raises(MediaError, match=rf"a\.csv.*{why}"):
        read_face_track(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary", b"\x00" * 100])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.csv: expected"):
        read_face_track(tmp_path / "a.csv")
    with pytest.raises(MediaError, match=r"nowhere\.csv: expected a table that OpenFace wrote"):
        read_face_track(tmp_path / "nowhere.csv")


def make_track(tmp_path, boxes, success=None):
    success = [1] * len(boxes) if success is None else success
    lines = [table_line(index, box, seen) for index, (box, seen) in enumerate(zip(boxes, success, strict=True))]
    return read_face_track(write_table(tmp_path / "a.csv", lines))


def centres(boxes):
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def test_boxes_follow_the_face(tmp_path, box):
    """A steady movement stays as it is; the boxes are squares, taller than the landmarks, with the brow inside."""
    track = make_track(tmp_path, [box + (index / 5, 0, index / 5, 0) for index in range(100)])
    times = np.array([1.0, 1.01, 2.5])
    boxes = track.boxes_at(times, (HEIGHT, WIDTH))
    np.testing.assert_allclose(centres(boxes)[:, 0], 80 + times * RATE / 5, atol=0.3)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 1.16 * 50, atol=0.3)
    assert (boxes[:, 1] < 30 - 5).all()
    assert (boxes[:, 3] < 80).all()


def test_lost_frames_and_outliers_do_not_move_the_box(tmp_path, box):
    steady = make_track(tmp_path, [box] * 60).boxes_at(np.arange(60) / RATE, (HEIGHT, WIDTH))
    boxes, success = np.tile(box, (60, 1)), np.ones(60, int)
    boxes[10:30], success[10:30] = 0.0, 0  # OpenFace writes zeros where it lost the face
    boxes[0], success[0] = 0.0, 0
    boxes[40] += 30  # a single mistake
    boxes[50:53, 3] += 15  # a mouth that opens
    gappy = make_track(tmp_path, boxes, success).boxes_at(np.arange(60) / RATE, (HEIGHT, WIDTH))
    np.testing.assert_allclose(gappy, steady, atol=0.3)


def test_times_beyond_the_table_take_its_ends(tmp_path, box):
    track = make_track(tmp_path, [box] * 5)
    np.testing.assert_allclose(*track.boxes_at(np.array([-1.0, 99.0]), (HEIGHT, WIDTH)))


def test_a_face_never_seen(tmp_path, box):
    assert make_track(tmp_path, [box] * 3, [0, 0, 0]).boxes_at(np.zeros(1), (HEIGHT, WIDTH)) is None


def test_a_table_of_another_size_is_refused(tmp_path, box):
    with pytest.raises(MediaError, match=r"a\.csv: expected a face inside of the 64x48 pixels .* take it away"):
        make_track(tmp_path, [box] * 3).boxes_at(np.zeros(1), (48, 64))


# ---- preparation


@pytest.fixture
def processor():
    return TacfnProcessor(image_processor=TacfnImageProcessor(num_frames=5, size={"height": 32, "width": 32}))


@pytest.fixture
def row(tmp_path):
    """A red square that moves over grey, and the table that knows it; no detector would find a face there."""
    frames = np.full((50, HEIGHT, WIDTH, 3), 128, np.uint8)
    boxes = np.array([[40.0 + index, 40.0, 80.0 + index, 80.0] for index in range(50)])
    for frame, (left, top, right, bottom) in zip(frames, boxes.astype(int), strict=True):
        frame[top:bottom, left:right] = (220, 20, 20)
    video = write_mp4(tmp_path / "clip.mp4", frames, fps=RATE)
    write_table(tmp_path / "clip.csv", [table_line(index, box) for index, box in enumerate(boxes)])
    return {"clip_id": "clip", "video": str(video), "audio": None, "face_track": str(tmp_path / "clip.csv")}


def test_a_clip_is_cropped_where_its_table_says(row, processor, monkeypatch):
    monkeypatch.setattr(image_processing_tacfn, "find_faces", lambda frames: pytest.fail("searched"))
    crops = prepare_clip(row, processor)["crops"].astype(int)
    assert crops.shape == (5, 32, 32, 3)
    red = (crops[..., 0] - crops[..., 1]) > 100
    # The square, 40 pixels of 1.16 * 1.3 * 40, is in the middle of every crop, and below it by the rise of the box.
    columns, rows = np.array([[np.nonzero(picture)[axis].mean() for picture in red] for axis in (1, 0)])
    np.testing.assert_allclose(columns, 15.5, atol=1)
    np.testing.assert_allclose(rows, 15.5 + 0.19 * 1.16 * 40 * 32 / (1.16 * 1.3 * 40), atol=1)
    np.testing.assert_allclose(red.mean(axis=(1, 2)), 1 / (1.16 * 1.3) ** 2, atol=0.06)


def test_without_a_table_the_face_is_searched(row, processor, monkeypatch):
    searched = []
    monkeypatch.setattr(image_processing_tacfn, "find_faces", lambda frames: searched.append(len(frames)))
    with pytest.raises(MediaError, match="frames without a usable face"):
        prepare_clip(row | {"face_track": None}, processor)
    assert searched == [5]


def test_a_face_never_tracked_is_searched(row, processor, tmp_path, monkeypatch):
    write_table(tmp_path / "clip.csv", [table_line(index, (0, 0, 0, 0), success=0) for index in range(50)])
    found = np.tile([40.0, 40.0, 80.0, 80.0], (5, 1))
    monkeypatch.setattr(image_processing_tacfn, "find_faces", lambda frames: found)
    assert prepare_clip(row, processor)["crops"].shape == (5, 32, 32, 3)


def test_a_window_takes_the_boxes_of_its_time(row, processor):
    whole = processor.read(video=row["video"], face_boxes=read_face_track(row["face_track"]).boxes_at)
    seen = {}
    read = processor.read

    def remember(**arguments):
        seen["clip"] = read(**arguments)
        return seen["clip"]

    processor.read = remember
    prepare_clip(row | {"start_seconds": 1.0, "end_seconds": 1.9}, processor)
    assert seen["clip"].boxes[0, 0] > whole.boxes[2, 0]


def test_a_network_without_face_crops_needs_no_table(row, processor, tmp_path):
    (tmp_path / "clip.csv").write_text("damaged")
    with pytest.raises(MediaError, match=r"clip\.csv"):
        prepare_clip(row, processor)
    processor.image_processor.do_face_crop = False
    prepare_clip(row, processor)


def test_the_address_of_a_prepared_clip_changes_with_its_table(row, tmp_path):
    first, without = clip_key(row, ""), clip_key(row | {"face_track": None}, "")
    with open(tmp_path / "clip.csv", "a") as file:
        file.write("\n")
    assert len({first, without, clip_key(row, "")}) == 3
    # What was prepared before there were tables keeps its address.
    assert clip_key({name: row[name] for name in ("video", "audio")}, "") == without
    assert preparation.read_face_track is read_face_track


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("clip", "landmarks"),
    [
        ("01-01-01-01-02-01-05", (482, 252, 823, 620)),
        ("01-01-03-01-01-02-05", (495, 284, 827, 648)),
        ("01-01-06-02-01-01-05", (510, 247, 826, 612)),
    ],
)
def test_the_box_is_the_one_that_would_be_found(real_data, tmp_path, clip, landmarks):
    """Brows, chin and the sides of the jaw, measured by eye in the first tenth of three recordings."""
    frames = read_clip(real_data / "ravdess/video_720p/Actor_05" / f"{clip}.mp4", 10).frames
    found = find_faces(frames)[0]
    box = make_track(tmp_path, [np.array(landmarks, float)]).boxes_at(np.zeros(1), frames.shape[1:3])[0]
    both = np.minimum(found[2:], box[2:]) - np.maximum(found[:2], box[:2])
    union = np.prod(found[2:] - found[:2]) + np.prod(box[2:] - box[:2]) - np.prod(both)
    assert np.prod(both) / union > 0.8


@pytest.mark.real_data
def test_real_crops_from_a_table(real_data, tmp_path):
    """A table made of the boxes that are found leads to these boxes again."""
    video = real_data / "ravdess/video_720p/Actor_05/01-01-06-02-01-01-05.mp4"
    clip = read_clip(video, None)
    found = find_faces(clip.frames, frames_searched=20)
    side = found[:, 2:] - found[:, :2]
    middle = (found[:, :2] + found[:, 2:]) / 2 + (0, 0.19) * side
    boxes = np.concatenate([middle - side / 1.16 / 2, middle + side / 1.16 / 2], axis=1)
    lines = [table_line(index, box, rate=30000 / 1001) for index, box in enumerate(boxes)]
    path = write_table(tmp_path / "01-01-06-02-01-01-05.csv", lines)
    processor = TacfnProcessor(image_processor=TacfnImageProcessor(num_frames=8))
    tracked = processor.read(video=video, face_boxes=read_face_track(path).boxes_at)
    expected = np.stack([np.interp(tracked.frame_seconds, clip.frame_seconds, column) for column in found.T], axis=1)
    np.testing.assert_allclose(tracked.boxes, expected, atol=0.04 * side.max())
    row = {"clip_id": "a", "video": str(video), "audio": None, "face_track": str(path)}
    np.testing.assert_array_equal(prepare_clip(row, processor)["crops"], tracked.crops)
