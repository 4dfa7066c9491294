# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
One face followed through a long recording, and the crops the network is given of it.

The face is searched twice a second. From search to search it is followed by where it was; where it is lost, another one is
chosen. A crop is cut once, as soon as the next search tells where the face goes, whatever windows it will be part of.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .faces import SEARCHES, detect_faces, same_face
from .image_processing_tacfn import BLACK_LEVEL, TacfnImageProcessor
from .media_decode import upright


SEARCH_SECONDS = 0.5
# A face that is missed once may have blinked or turned; the next search decides.
PATIENCE = 1
SIDES = ("largest", "left", "right")


@dataclass(frozen=True)
class FaceChoice:
    """
    Which of several faces is followed, from a time on.

    Args:
        which (`str`, `int` or `tuple[float, float]`): `"largest"`, `"left"`, `"right"`, the number of a face counted from the
            left (from 1), or a point x, y in pixels of the upright picture.
        since_seconds (`float`): from when on.
    """

    which: str | int | tuple[float, float]
    since_seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "FaceChoice":
        """
        Read `largest`, `left`, `right`, `2` or `320,180`, each with or without a time in seconds: `left@12.5`.

        Raises:
            ValueError: anything else.
        """
        what, _, when = text.strip().partition("@")
        try:
            since = float(when) if when else 0.0
            if not (math.isfinite(since) and since >= 0):
                raise ValueError
            if what in SIDES:
                return cls(what, since)
            if what.isdecimal() and int(what) > 0:
                return cls(int(what), since)
            x, y = (float(part) for part in what.split(","))
            if not (math.isfinite(x) and math.isfinite(y)):
                raise ValueError
        except ValueError:
            raise ValueError(
                "expected a face as largest, left, right, a number counted from the left, or a point x,y in pixels, each with "
                f"@SECONDS if from a time on (left@12.5), got {text!r}."
            ) from None
        return cls((x, y), since)

    def pick(self, boxes: np.ndarray) -> np.ndarray | None:
        """The chosen one of the boxes `(n, 4)` in one picture; `None` if none is it."""
        if not len(boxes):
            return None
        sides, centres = boxes[:, 2] - boxes[:, 0], (boxes[:, :2] + boxes[:, 2:]) / 2
        if self.which == "largest":
            return boxes[np.argmax(sides)]
        if isinstance(self.which, tuple):
            away = np.abs(centres - self.which).max(axis=1)
            nearest = np.argmin(away)
            return boxes[nearest] if away[nearest] < sides[nearest] else None
        order = np.argsort(centres[:, 0], kind="stable")
        place = {"left": 0, "right": len(boxes) - 1}.get(self.which, self.which)
        place = place - 1 if isinstance(self.which, int) else place
        return boxes[order[place]] if place < len(boxes) else None


def parse_choices(faces: str | Sequence[str | FaceChoice]) -> list[FaceChoice]:
    """Choices in the order of their times; before the first of them the largest face is followed."""
    faces = [faces] if isinstance(faces, str) else faces
    choices = [face if isinstance(face, FaceChoice) else FaceChoice.parse(face) for face in faces]
    choices.sort(key=lambda choice: choice.since_seconds)
    if not choices or choices[0].since_seconds > 0:
        choices.insert(0, FaceChoice("largest"))
    return choices


@dataclass(frozen=True)
class FacePoint:
    """
    Where the followed face was at one time.

    Args:
        seconds (`float`): when.
        box (`np.ndarray` of shape `(4,)`, *optional*): left, top, right, bottom in pixels of the upright picture.
        track (`int`, *optional*): a number that changes where the face was lost, or another was chosen.
    """

    seconds: float
    box: np.ndarray | None = None
    track: int | None = None


class FaceFollower:
    """
    Finds the followed face in pictures given in their order.

    Args:
        choices (`list[FaceChoice]`): as `parse_choices` makes them.
    """

    def __init__(self, choices: list[FaceChoice]):
        self.choices = choices
        self._choice = -1
        self._wanted = choices[0]
        self._last: np.ndarray | None = None
        self._missed = 0
        self._track = 0

    def find(self, picture: np.ndarray, seconds: float) -> FacePoint:
        """Search one picture `(height, width, 3)`."""
        current = max(i for i, choice in enumerate(self.choices) if choice.since_seconds <= seconds + 1e-6)
        if current != self._choice:
            self._choice, self._wanted, self._last = current, self.choices[current], None
        # The quick search sees the large faces only, which is enough to follow the largest.
        found = np.zeros((0, 4))
        for search in SEARCHES if self._wanted.which == "largest" else SEARCHES[1:]:
            boxes = detect_faces(picture, *search)
            if self._last is not None:
                near = same_face(self._last, boxes)
                if near is not None:
                    return self._found(near, seconds)
            found = found if len(found) else boxes
            if self._last is None and len(found):
                break
        if self._last is not None:
            self._missed += 1
            if self._missed <= PATIENCE:
                return FacePoint(seconds)
            if isinstance(self._wanted.which, tuple):  # the person may have moved away from the point
                self._wanted = FaceChoice(tuple((self._last[:2] + self._last[2:]) / 2))
            self._last = None
        box = self._wanted.pick(found)
        if box is None:
            return FacePoint(seconds)
        self._track += 1
        return self._found(box, seconds)

    def _found(self, box: np.ndarray, seconds: float) -> FacePoint:
        self._last, self._missed = box, 0
        return FacePoint(seconds, box, self._track)


@dataclass(frozen=True)
class Crop:
    """
    What the network may be given of one frame.

    Args:
        seconds (`float`): when the frame is shown.
        pixels (`np.ndarray` of shape `(size, size, 3)`, *optional*): uint8 RGB; `None` for a black frame or one without the face.
        box (`np.ndarray` of shape `(4,)`, *optional*): the face in it.
        track (`int`, *optional*): as in a [`FacePoint`].
    """

    seconds: float
    pixels: np.ndarray | None = None
    box: np.ndarray | None = None
    track: int | None = None


class FaceCrops:
    """
    Makes crops of frames given in their order. Whole frames are kept for two searches, 1 s, and no longer.

    Args:
        image_processor ([`TacfnImageProcessor`]): cuts; without its `do_face_crop` nothing is searched.
        choices (`list[FaceChoice]`): which face.
        stream: the picture track, as PyAV has it.
    """

    def __init__(self, image_processor: TacfnImageProcessor, choices: list[FaceChoice], stream):
        self.image_processor = image_processor
        self.stream = stream
        self.frame_size: tuple[int, int] | None = None  # height, width
        self.points: list[FacePoint] = []
        self._follower = FaceFollower(choices)
        self._raw: list[FacePoint] = []  # the last three found
        self._waiting: deque = deque()
        self._next_search = -math.inf

    def feed(self, seconds: float, frame) -> list[Crop]:
        """Take the next frame, as PyAV decodes it; returns the crops that are ready."""
        if not self.image_processor.do_face_crop:
            return [self._crop(seconds, frame, FacePoint(seconds))]
        self._waiting.append((seconds, frame))
        if seconds < self._next_search - 1e-6:
            return []
        self._next_search = SEARCH_SECONDS * (math.floor((seconds + 1e-6) / SEARCH_SECONDS) + 1)
        self._raw.append(self._follower.find(self._upright(frame), seconds))
        if len(self._raw) < 2:
            return []
        before, point, after = ([None] + self._raw)[-3:]
        return self._advance(_steadied(before, point, after))

    def finish(self) -> list[Crop]:
        """The crops that waited for another search."""
        if not self._raw:
            return []
        crops = self._advance(_steadied(self._raw[-2] if len(self._raw) > 1 else None, self._raw[-1], None))
        last = self.points[-1]
        while self._waiting:
            crops.append(self._crop(*self._waiting.popleft(), last))
        return crops

    def _advance(self, point: FacePoint) -> list[Crop]:
        """Cut the frames up to a point, now that it is known where the face was there."""
        before = self.points[-1] if self.points else point
        self.points.append(point)
        del self._raw[:-2]
        crops = []
        while self._waiting and self._waiting[0][0] <= point.seconds:
            seconds, frame = self._waiting.popleft()
            crops.append(self._crop(seconds, frame, _between(before, point, seconds)))
        return crops

    def _upright(self, frame) -> np.ndarray:
        picture = upright(frame, self.stream, self.frame_size)
        self.frame_size = picture.shape[:2]
        return picture

    def _crop(self, seconds: float, frame, point: FacePoint) -> Crop:
        if self.image_processor.do_face_crop and point.box is None:
            return Crop(seconds)
        picture = self._upright(frame)
        if picture[::4, ::4].max() <= BLACK_LEVEL:
            return Crop(seconds)
        boxes = None if point.box is None else point.box[None]
        return Crop(seconds, self.image_processor.crops(picture[None], boxes)[0][0], point.box, point.track)


def _steadied(before: FacePoint | None, point: FacePoint, after: FacePoint | None) -> FacePoint:
    """Take out what one search alone saw, or alone missed; steady movement stays as it is."""
    if before is None or after is None or before.track is None or before.track != after.track:
        return point
    if point.box is None:
        return FacePoint(point.seconds, (before.box + after.box) / 2, before.track)
    if point.track != before.track:
        return point
    # Centre and side, not corners: each stays sensible on its own (a side stays positive).
    numbers = [[*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])] for box in (before.box, point.box, after.box)]
    x, y, width, height = np.median(numbers, axis=0)
    return FacePoint(
        point.seconds, np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]), point.track
    )


def _between(before: FacePoint, after: FacePoint, seconds: float) -> FacePoint:
    """The face on its way from one search to the next; unknown where one of them did not see it."""
    if seconds >= after.seconds - 1e-6:
        return after
    if before.track is None or before.track != after.track:
        return FacePoint(seconds)
    part = (seconds - before.seconds) / (after.seconds - before.seconds)
    return FacePoint(seconds, (1 - part) * before.box + part * after.box, after.track)


def face_at(points: Sequence[FacePoint], seconds: float) -> FacePoint:
    """The followed face at any time, from the points of a [`FaceCrops`]; without a box where it was not seen."""
    place = bisect_left(points, seconds, key=lambda point: point.seconds)
    if not points:
        return FacePoint(seconds)
    if place in (0, len(points)):
        return points[min(place, len(points) - 1)]
    return _between(points[place - 1], points[place], seconds)


__all__ = ["Crop", "FaceChoice", "FaceCrops", "FaceFollower", "FacePoint", "face_at", "parse_choices"]
