# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Where the face of a clip is, as OpenFace tracked it: a table with a line per frame, instead of a search in the pictures.

Such tables are published for RAVDESS (https://zenodo.org/records/3255102, OpenFace 2.1). Their columns are OpenFace's:
`timestamp` in seconds, `success`, and the 68 landmarks `x_0` … `x_67`, `y_0` … `y_67` in pixels of the video
(https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format); `X_0` and so on are other numbers, in millimetres.
"""

import csv
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .media import MediaError


NUM_LANDMARKS = 68
_COLUMNS = [
    "timestamp",
    "success",
    *(f"{axis}_{index}" for axis in "xy" for index in range(NUM_LANDMARKS)),
]
# The box that OpenCV's cascade finds, for which `face_margin` is chosen, against the one around the landmarks, from brows to
# chin: how many times its longer side, and by how much of its own side higher up. Measured by eye in the frames of eight
# recordings of RAVDESS, where the two agreed to 5 % of the side.
SIDE_OF_FOUND_BOX = 1.16
RISE_OF_FOUND_BOX = 0.19
# A mouth that opens lowers the chin; over a second it does not change the crop.
SMOOTHING_SECONDS = 1.0


@dataclass(frozen=True)
class FaceTrack:
    """
    The face in every frame that OpenFace saw.

    Args:
        path (`str`): the table it comes from.
        seconds (`np.ndarray` of shape `(num_frames,)`): when each frame is shown, ascending.
        boxes (`np.ndarray` of shape `(num_frames, 4)`): around the landmarks: left, top, right, bottom in pixels.
        landmarks (`np.ndarray` of shape `(num_frames, 68, 2)`): x and y in pixels.
        success (`np.ndarray` of shape `(num_frames,)`): boolean, 0 where the face was lost and the numbers mean nothing.
    """

    path: str
    seconds: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    success: np.ndarray

    def boxes_at(self, seconds: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray | None:
        """
        Boxes as the detector would have found them, smoothed over a second, at any times.

        Args:
            seconds (`np.ndarray` of shape `(num_times,)`): times from the start of the video; the nearest known face stands
                in before the first and after the last.
            frame_size (`tuple[int, int]`): height and width in pixels of the frames that are to be cropped.

        Returns:
            `np.ndarray` of shape `(num_times, 4)`: left, top, right, bottom in pixels; `None` if the face was never seen.

        Raises:
            MediaError: the face lies outside of such frames: the table belongs to a video of another size.
        """
        if not self.success.any():
            return None
        known, boxes = self.seconds[self.success], self.boxes[self.success]
        side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * SIDE_OF_FOUND_BOX
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        height, width = frame_size
        if not (0 <= np.median(x) < width and 0 <= np.median(y) < height and np.median(side) < 2 * max(frame_size)):
            raise MediaError(
                f"{self.path}: expected a face inside of the {width}x{height} pixels of the video, its centre is at "
                f"({np.median(x):.0f}, {np.median(y):.0f}). The table belongs to another size of this video: take it away, and "
                "the face is searched in the pictures."
            )
        reach = np.full(len(known), SMOOTHING_SECONDS / 2)
        side = _smoothed(side, known, reach)
        # As far on one side as on the other, so that a steady movement stays as it is up to both ends.
        reach = np.minimum(reach, np.minimum(known - known[0], known[-1] - known))
        x, y = _smoothed(x, known, reach), _smoothed(y, known, reach) - RISE_OF_FOUND_BOX * side
        x, y, half = (np.interp(seconds, known, values) for values in (x, y, side / 2))
        return np.stack([x - half, y - half, x + half, y + half], axis=1)


def read_face_track(path: str | os.PathLike) -> FaceTrack:
    """
    Read a table of OpenFace. Columns are found by their names, in any order, with or without spaces after the commas.

    Args:
        path (`str` or `os.PathLike`): a CSV file. Where it tells of several faces, that of most lines is taken.

    Returns:
        [`FaceTrack`]

    Raises:
        MediaError: no such file, a column is missing, a line is cut off or holds something else than numbers, or there is no
            line.
    """
    path = os.fspath(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), start=1) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{path}: expected a table that OpenFace wrote, got something else ({error}).") from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise MediaError(
            f"{path}: expected the columns timestamp, success, x_0 to x_{NUM_LANDMARKS - 1} and y_0 to y_{NUM_LANDMARKS - 1}, "
            f"missing: {listed}. Run OpenFace with its 2D landmarks (-2Dfp), or take the table away."
        )
    if len(lines) == 1:
        raise MediaError(f"{path}: expected a line for every frame, found only the names of the columns.")
    places = [header.index(name) for name in _COLUMNS]
    values = np.array([_numbers(path, number, line, len(header), places) for number, line in lines[1:]])
    if "face_id" in header:
        faces = [line[header.index("face_id")].strip() for _, line in lines[1:]]
        values = values[np.array(faces) == Counter(faces).most_common(1)[0][0]]
    seconds, success = values[:, 0], values[:, 1] > 0
    if not np.isfinite(seconds).all() or (np.diff(seconds) < 0).any():
        raise MediaError(f"{path}: expected timestamps that ascend from line to line; get another copy.")
    landmarks = values[:, 2:].reshape(-1, 2, NUM_LANDMARKS).transpose(0, 2, 1)
    boxes = np.concatenate([landmarks.min(axis=1), landmarks.max(axis=1)], axis=1)
    # A face without extent is no face, whatever the table says of it.
    success &= np.isfinite(landmarks).all(axis=(1, 2)) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return FaceTrack(path, seconds, boxes, landmarks, success)


def _smoothed(values: np.ndarray, seconds: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The median of what lies at most `reach` seconds away, for each time."""
    first = np.searchsorted(seconds, seconds - reach - 1e-6)
    last = np.searchsorted(seconds, seconds + reach + 1e-6)
    return np.array([np.median(values[start:stop]) for start, stop in zip(first, last, strict=True)])


def _numbers(path: str, number: int, line: list[str], width: int, places: list[int]) -> list[float]:
    try:
        if len(line) != width:
            raise ValueError(f"{len(line)} cells")
        return [float(line[place]) for place in places]
    except ValueError as error:
        raise MediaError(
            f"{path}, line {number}: expected {width} cells with numbers, got something else ({error}). The table is cut off or "
            "damaged: get another copy, or take it away."
        ) from error


__all__ = ["FaceTrack", "read_face_track"]
