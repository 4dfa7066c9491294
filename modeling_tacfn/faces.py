# Copyright 2026 The modeling_tacfn authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Where the face is in a clip, and the square cut around it, without downloading a detector.

The Haar cascade that opencv-python-headless 4.x carries is searched in a few frames at reduced size; the face that is
largest and stays is followed through them.
"""

import os
import threading
from collections.abc import Sequence

import numpy as np
from PIL import Image


# (longest side searched, smallest face as a part of the shorter side, border added as a part of the sides): first what
# is fast and finds the one face in front of a camera, then small faces and those that fill the picture to its edges.
SEARCHES = ((256, 0.2, 0.0), (640, 0.07, 0.25))
_local = threading.local()  # a cascade must not be used by two threads at once


def find_faces(frames: np.ndarray, frames_searched: int = 5) -> np.ndarray | None:
    """Find the face of a clip: one smoothed box per frame.

    Args:
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8 RGB.
        frames_searched (`int`, *optional*, defaults to 5): how many frames, evenly spread, are searched; the boxes of
            the frames between are interpolated.

    Returns:
        `np.ndarray` of shape `(num_frames, 4)`: x0, y0, x1, y1 in pixels, or `None` if no searched frame shows a face.

    Raises:
        `ImportError`: OpenCV is missing or carries no cascade.
    """
    _check_frames(frames)
    if int(frames_searched) != frames_searched or frames_searched < 1:
        raise ValueError(f"frames_searched must be a whole number of at least 1, received {frames_searched!r}.")
    num_frames = len(frames)
    count = min(int(frames_searched), num_frames)
    # From the first frame to the last, so that no box has to be guessed beyond a searched frame.
    searched = np.linspace(0, num_frames - 1, count).round().astype(int) if count > 1 else [num_frames // 2]
    for search in SEARCHES:
        candidates = [detect_faces(frames[index], *search) for index in searched]
        if any(len(boxes) for boxes in candidates):
            break
    else:
        return None
    boxes = _follow(candidates)
    known = np.array([index for index, box in zip(searched, boxes, strict=True) if box is not None])
    found = np.array([box for box in boxes if box is not None])
    # Centre and side, not corners: each stays sensible on its own (a side stays positive).
    track = _median_of_three(
        np.stack(
            [
                (found[:, 0] + found[:, 2]) / 2,
                (found[:, 1] + found[:, 3]) / 2,
                found[:, 2] - found[:, 0],
                found[:, 3] - found[:, 1],
            ],
            axis=1,
        )
    )
    x, y, width, height = (np.interp(np.arange(num_frames), known, column) for column in track.T)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def crop_faces(frames: np.ndarray, boxes: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Cut a square around each box from the full-resolution frame; pixels beyond the edge repeat the edge.

    Args:
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8 RGB.
        boxes (`np.ndarray` of shape `(num_frames, 4)`): x0, y0, x1, y1 in pixels.
        size (`int`): side of the result in pixels.
        margin (`float`): how much longer the side of the square is than the longer side of the box; 0.3 takes in
            hairline, ears and chin, half of it on each side.

    Returns:
        `np.ndarray` of shape `(num_frames, size, size, 3)`: uint8 RGB with the aspect kept.

    Raises:
        `ValueError`: shapes do not match, a box is empty or not finite, or `size` or `margin` is out of range.
    """
    _check_frames(frames)
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.shape != (len(frames), 4):
        raise ValueError(f"Expected boxes of shape ({len(frames)}, 4), one per frame, received {boxes.shape}.")
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * (1 + margin)
    if not np.isfinite(boxes).all() or not (boxes[:, 2:] > boxes[:, :2]).all() or margin <= -1:
        raise ValueError("Expected finite boxes x0 < x1, y0 < y1 and a margin above -1; check the face detector.")
    if int(size) != size or size < 1:
        raise ValueError(f"size must be a whole number of pixels of at least 1, received {size!r}.")
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    height, width = frames.shape[1:3]
    if sides.max() > 8 * max(height, width):
        raise ValueError(
            f"A square of {sides.max():.0f} pixels is far larger than the frame of {width}x{height}; boxes are expected "
            f"in pixels of these frames, with a small margin (0.3), received margin {margin}."
        )
    crops = np.empty((len(frames), size, size, 3), np.uint8)
    for index, frame in enumerate(frames):
        side = max(sides[index], 1.0)
        left, top = centres[index] - side / 2
        # Only the pixels the square covers are touched; those outside of the frame repeat its edge.
        x0, y0 = int(np.floor(left)), int(np.floor(top))
        x1, y1 = int(np.ceil(left + side)), int(np.ceil(top + side))
        if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
            patch = frame[y0:y1, x0:x1]
        else:
            patch = frame[np.arange(y0, y1).clip(0, height - 1)][:, np.arange(x0, x1).clip(0, width - 1)]
        box = (left - x0, top - y0, min(left - x0 + side, x1 - x0), min(top - y0 + side, y1 - y0))
        crops[index] = Image.fromarray(np.ascontiguousarray(patch)).resize((size, size), Image.BILINEAR, box=box)
    return crops


def _check_frames(frames):
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        received = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"Expected uint8 RGB frames of shape (num_frames, height, width, 3), received {received}.")
    if 0 in frames.shape:
        raise ValueError(f"Expected at least one frame of at least one pixel, received shape {frames.shape}.")


def _import_cv2():
    try:
        import cv2
    except ImportError as error:
        raise ImportError('Finding faces needs OpenCV: `pip install "opencv-python-headless<5"`.') from error
    return cv2


def _cascade(cv2):
    if getattr(_local, "cascade", None) is None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = os.path.join(folder, "haarcascade_frontalface_default.xml")
        if not hasattr(cv2, "CascadeClassifier") or not os.path.isfile(path):
            raise ImportError(
                f"Finding faces needs the cascades that OpenCV 4 carries; version {cv2.__version__} has none. "
                f'Install `pip install "opencv-python-headless<5"`, or give face boxes of your own.'
            )
        _local.cascade = cv2.CascadeClassifier(path)
    return _local.cascade


def crop_region(frames: np.ndarray, region: Sequence[float]) -> np.ndarray:
    """
    The same part of every frame.

    Args:
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): of any size.
        region (`Sequence[float]`): left, top, right and bottom as fractions of width and height: `(0.5, 0, 1, 1)` is the
            right half.

    Returns:
        `np.ndarray` of shape `(num_frames, part_height, part_width, 3)`, at least one pixel; a view.

    Raises:
        ValueError: no four fractions in order.
    """
    values = [float(value) for value in region]
    if len(values) != 4 or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
        raise ValueError(
            f"expected a frame region as left, top, right, bottom, fractions from 0 to 1 in order, got {values}."
        )
    height, width = frames.shape[1:3]
    left, top = int(values[0] * width), int(values[1] * height)
    right, bottom = max(round(values[2] * width), left + 1), max(round(values[3] * height), top + 1)
    return frames[:, top:bottom, left:right]


def detect_faces(frame: np.ndarray, longest: int, smallest: float, border: float) -> np.ndarray:
    """Boxes (n, 4) of all faces in one frame, in its own pixels, by one of the `SEARCHES`."""
    cv2 = _import_cv2()
    height, width = frame.shape[:2]
    scale = min(1.0, longest / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    gray = cv2.cvtColor(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    pad = round(border * max(small))
    if pad:
        gray = cv2.copyMakeBorder(gray, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    least = max(24, round(smallest * min(small)))  # the cascade's own window is 24 pixels
    found = _cascade(cv2).detectMultiScale(gray, 1.1, 5, minSize=(least, least))
    boxes = np.array(found, dtype=np.float64).reshape(-1, 4)
    boxes[:, :2] -= pad
    boxes[:, 2:] += boxes[:, :2]
    return boxes * (width / small[0], height / small[1], width / small[0], height / small[1])


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = sides.clip(0).prod(axis=1)
    return both / (np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both)


def _follow(candidates: list[np.ndarray]) -> list[np.ndarray | None]:
    """One box per searched frame: the face that is largest and seen in most frames, followed in both directions."""
    best, score, start = None, -1.0, 0
    for index, boxes in enumerate(candidates):
        for box in boxes:
            seen = sum(_overlap(box, others).max(initial=0) for others in candidates)
            if seen * (box[2] - box[0]) > score:
                best, score, start = box, seen * (box[2] - box[0]), index
    chosen: list[np.ndarray | None] = [None] * len(candidates)
    chosen[start] = best
    for order in (range(start + 1, len(candidates)), range(start - 1, -1, -1)):
        last = best
        for index in order:
            near = same_face(last, candidates[index])
            if near is not None:
                last = chosen[index] = near
    return chosen


def same_face(last: np.ndarray, boxes: np.ndarray) -> np.ndarray | None:
    """Of the boxes (n, 4) in another frame, the one that goes on with the face in `last`; `None` if none can."""
    side = last[2] - last[0]
    distance = np.abs((boxes[:, :2] + boxes[:, 2:] - last[:2] - last[2:]) / 2).max(axis=1, initial=0)
    ratio = (boxes[:, 2] - boxes[:, 0]) / side
    near = boxes[(distance < side) & (ratio > 0.6) & (ratio < 1.7)]
    return near[np.argmax(_overlap(last, near))] if len(near) else None


def _median_of_three(track: np.ndarray) -> np.ndarray:
    """Take out single outliers, and keep steady movement as it is (Tukey's rule at both ends)."""
    if len(track) < 3:
        return track
    smooth = track.copy()
    smooth[1:-1] = np.median([track[:-2], track[1:-1], track[2:]], axis=0)
    for end, near, far in ((0, 1, 2), (-1, -2, -3)):
        smooth[end] = np.median([track[end], smooth[near], 3 * smooth[near] - 2 * smooth[far]], axis=0)
    return smooth
