# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The windows of a recording that is read forwards once, each as the processor would read a clip of it."""

import os
from collections import deque
from collections.abc import Iterator

import numpy as np

from .feature_tables import open_table
from .media import MediaError
from .media_decode import spread
from .processing_tacfn import ClipInputs
from .timeline_faces import Crop, FaceCrops
from .timeline_media import Recording
from .timeline_result import NO_FACE, NO_SOUND, TOO_SHORT, Window


# Sound that goes on for less than this after the last picture is how files end; more is a recording without pictures.
TAIL_SECONDS = 1.0
# A recording that goes on for less than this after a window gets no window more: lossy sound ends in so much padding.
SHORTEST_REST = 0.15
TIME_COLUMNS = ("timestamp", "frameTime")  # of OpenFace and openSMILE


class WindowReader:
    """Cuts the windows out of a recording that is read forwards."""

    def __init__(self, recording: Recording, processor, choices, tables, window_seconds: float, hop_seconds: float):
        self.recording, self.processor, self.tables = recording, processor, tables
        self.window_seconds, self.hop_seconds = window_seconds, hop_seconds
        self.sound, pictures = recording.sound, recording.pictures
        self.crops = FaceCrops(processor.image_processor, choices, pictures.stream) if pictures else None
        self._frames = pictures.frames() if pictures else iter(())
        self._has_pictures = pictures is not None
        self._ready: deque[Crop] = deque()

    def windows(self, takes_sound: bool, min_seconds: float) -> Iterator[tuple[Window, ClipInputs | None]]:
        index = 0
        while True:
            start = round(float(index * self.hop_seconds), 9)
            end = round(start + self.window_seconds, 9)
            reach = end + SHORTEST_REST
            self._read_until(reach)
            last = self._end_of_recording(reach)
            if last is not None and (last <= 0 or (index and last <= start)):
                return
            is_last = last is not None and last <= reach
            end = min(end, last) if is_last else end
            if end - start < min_seconds - 1e-6:
                yield Window(start, end, states=(TOO_SHORT,)), None
            else:
                yield self._cut(start, end, takes_sound)
            # What the next window does not reach back to is let go.
            index += 1
            self._forget(index * self.hop_seconds)
            if is_last:
                return

    def _read_until(self, end: float) -> None:
        """Decode pictures until the crops before `end` are there, and the sound before it."""
        while self._has_pictures and not (self._ready and self._ready[-1].seconds >= end):
            frame = next(self._frames, None)
            if frame is None:
                self._has_pictures = False
                self._ready.extend(self.crops.finish())
                break
            self._ready.extend(self.crops.feed(*frame))
        if self.sound is not None:
            self.sound.read_until(end)

    def _end_of_recording(self, end: float) -> float | None:
        """When the recording ends, if it is known to end before anything after `end` is read."""
        pictures = self.recording.pictures
        if pictures is not None and pictures.num_frames:
            if not pictures.has_ended:
                return None
            seen = pictures.end_seconds
            if self.sound is None or seen > end:
                return seen
            self.sound.read_until(seen + TAIL_SECONDS)
            if self.sound.end_seconds <= seen + TAIL_SECONDS and pictures.num_frames > 1:
                return seen
            self.sound.read_until(end)
            return max(seen, self.sound.end_seconds) if self.sound.has_ended else None
        if self.sound is None:
            return max((table.end_seconds for table in self.tables.values()), default=0.0)
        return self.sound.end_seconds if self.sound.has_ended else None

    def _forget(self, start: float) -> None:
        if self.sound is not None:
            self.sound.forget(start)
        # The last frame before a window stays: it is on the screen until the next one comes.
        while len(self._ready) > 1 and self._ready[1].seconds < start - 1e-6:
            self._ready.popleft()

    def _cut(self, start: float, end: float, takes_sound: bool) -> tuple[Window, ClipInputs | None]:
        clip = self._listen(start, end)
        shown = self._shown(start, end)
        box, tracks = None, ()
        if shown:
            seen = [crop for crop in shown if crop.pixels is not None]
            side = self.processor.image_processor.size["height"]
            clip.crops_valid = np.array([crop.pixels is not None for crop in shown])
            clip.crops = np.zeros((len(shown), side, side, 3), np.uint8)
            if seen:
                clip.crops[clip.crops_valid] = [crop.pixels for crop in seen]
                middle = min(seen, key=lambda crop: abs(crop.seconds - (start + end) / 2))
                box = None if middle.box is None else tuple(float(value) for value in middle.box)
            tracks = tuple(sorted({crop.track for crop in seen if crop.track is not None}))
        states = (NO_FACE,) * (self.processor.do_video and not clip.has_video)
        states += (NO_SOUND,) * (takes_sound and not clip.has_sound)
        window = Window(start, end, states=states, box=box, tracks=tracks)
        return window, clip if clip.has_sound or clip.has_video or clip.has_features else None

    def _listen(self, start: float, end: float) -> ClipInputs:
        """Sound and named features of a window, as the processor reads them of a clip."""
        features = {name: rows for name, table in self.tables.items() if len(rows := table.between(start, end))}
        waveform = None if self.sound is None else self.sound.cut(start, end)
        if waveform is None and not features:
            return ClipInputs()
        try:
            return self.processor.read(
                audio=False if waveform is None else waveform,
                sampling_rate=None if waveform is None else self.sound.rate,
                features=features,
            )
        except MediaError:  # silence, and numbers that are all missing
            return ClipInputs()

    def _shown(self, start: float, end: float) -> list[Crop]:
        """The frames that a clip of this window would hold."""
        inside = [crop for crop in self._ready if start - 1e-6 <= crop.seconds < end - 1e-6]
        if inside:
            seconds = np.array([crop.seconds for crop in inside])
            return [inside[index] for index in spread(seconds, self.processor.image_processor.num_frames, start, end)]
        before = [crop for crop in self._ready if crop.seconds < start]
        pictures = self.recording.pictures
        is_over = pictures is not None and pictures.has_ended and pictures.num_frames > 1
        return [] if is_over and start >= pictures.end_seconds else before[-1:]


class FeatureRows:
    """A table with a row per frame, to be cut by time."""

    def __init__(self, processor, name: str, path: str | os.PathLike):
        if name not in processor.feature_columns:
            raise ValueError(
                f"expected a feature that this network takes ({', '.join(processor.feature_columns) or 'it names none'}), got {name!r}."
            )
        table = open_table(path)
        column = next((column for column in TIME_COLUMNS if column in table.columns), None)
        if column is None or len(table.rows) > 1:
            raise ValueError(
                f"{path}: expected a table of one recording, with a row per frame and its time in seconds in a column named "
                f"{' or '.join(TIME_COLUMNS)}, found {'no such column' if column is None else 'rows of several clips'}."
            )
        rows = table.main_face(next(iter(table.rows.values())))
        seconds = table.values(rows, [column])[:, 0]
        order = np.argsort(seconds, kind="stable")[: np.isfinite(seconds).sum()]
        self.seconds, self.values = seconds[order], table.values(rows, processor.feature_columns[name])[order]

    @property
    def end_seconds(self) -> float:
        """When the last row is over; 0 without rows."""
        if not len(self.seconds):
            return 0.0
        return float(self.seconds[-1] + (self.seconds[-1] - self.seconds[0]) / max(len(self.seconds) - 1, 1))

    def between(self, start: float, end: float) -> np.ndarray:
        low, high = np.searchsorted(self.seconds, (start - 1e-6, end - 1e-6))
        return self.values[low:high]


__all__ = ["FeatureRows", "WindowReader"]
