# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The recording again, with the face, what is said of it and how sure the network is burnt into the pictures."""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .files import atomic_path
from .media import import_av
from .media_decode import upright
from .timeline_colours import EMPTY, colours_of
from .timeline_faces import face_at
from .timeline_files import check_not_the_recording
from .timeline_media import PictureTrack, SoundTrack, open_recording
from .timeline_result import Timeline, Window


ENDINGS = (".mp4", ".mov", ".mkv")
TICKS = 90_000  # a second of the new file's clock
BLOCK = 1024  # samples that are encoded at once
BACKGROUND = (24, 24, 24)


def save_video(
    timeline: Timeline, path: str | os.PathLike, on_progress: Callable[[float], None] | None = None
) -> None:
    """
    Write the recording of a timeline with its answers burnt in; read forwards once more, in the same flat memory.

    Args:
        timeline ([`Timeline`]): of a video that is still where it was.
        path (`str` or `Path`): ends in `.mp4`, `.mov` or `.mkv`; appears when it is complete.
        on_progress (`Callable`, *optional*): told the share that is done, from 0 to 1, now and then.

    Raises:
        ValueError: another ending, the recording's own name, or no windows.
        MediaError: the recording cannot be read, or has no pictures.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise ValueError(f"{path}: expected a file name ending in {', '.join(ENDINGS)}.")
    check_not_the_recording(path, timeline.source)
    if not timeline.windows:
        raise ValueError("expected a timeline with at least one window, got none.")
    av = import_av()
    with (
        open_recording(timeline.source, with_audio=False) as pictured,
        open_recording(timeline.source) as heard,
        atomic_path(path) as temporary,
        av.open(str(temporary), "w") as output,
    ):
        track = pictured.pictures
        video = output.add_stream("libx264", rate=Fraction(track.stream.average_rate or 25).limit_denominator(1001))
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "veryfast", "crf": "21"}
        video.codec_context.time_base = Fraction(1, TICKS)
        sound = _Sound(av, heard.sound, output) if heard.sound is not None else None
        last_tick = -1
        for seconds, picture in _annotated(timeline, track):
            if last_tick < 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            last_tick = max(round(seconds * TICKS), last_tick + 1)
            frame.pts, frame.time_base = last_tick, Fraction(1, TICKS)
            output.mux(video.encode(frame))
            if sound is not None:
                sound.write_until(seconds)
            if on_progress is not None:
                on_progress(pictured.share_read(seconds))
        if last_tick >= 0:
            output.mux(video.encode(None))
        if sound is not None:
            sound.write_until(max(timeline.seconds, track.end_seconds))
            sound.finish()


def _annotated(timeline: Timeline, track: PictureTrack) -> Iterator[tuple[float, np.ndarray]]:
    starts = [start for start, _ in timeline.spans()]
    colours = colours_of(timeline.labels)
    size = None
    for seconds, frame in track.frames():
        picture = upright(frame, track.stream, size)
        size = picture.shape[:2]
        window = timeline.windows[max(bisect_right(starts, seconds + 1e-6) - 1, 0)]
        # H.264 as players expect it has an even number of rows and columns.
        even = np.array(picture[: max(size[0] // 2 * 2, 2), : max(size[1] // 2 * 2, 2)])
        even = np.pad(even, ((0, even.shape[0] % 2), (0, even.shape[1] % 2), (0, 0)), mode="edge")
        yield seconds, annotate(even, timeline, window, face_at(timeline.faces, seconds).box, colours)


def annotate(
    picture: np.ndarray, timeline: Timeline, window: Window, box: np.ndarray | None, colours: dict[str, str]
) -> np.ndarray:
    """
    Draw into one picture.

    Args:
        picture (`np.ndarray` of shape `(height, width, 3)`): uint8 RGB; changed in place.
        timeline ([`Timeline`]): of the recording.
        window ([`Window`]): that stands for this time.
        box (`np.ndarray` of shape `(4,)`, *optional*): the face: left, top, right, bottom in pixels.
        colours (`dict[str, str]`): of each label, as `colours_of` gives them.

    Returns:
        `np.ndarray`: `picture`.
    """
    height, width = picture.shape[:2]
    colour = colours.get(window.said, EMPTY)
    if box is not None:
        _outline(picture, box, _rgb(colour), thickness=max(2, min(height, width) // 160))
    share = window.score if window.scores and timeline.is_probability else None
    words = window.said if window.score is None else f"{window.said}  {timeline.said_score(window.score)}"
    missing = ", ".join(state for state in window.states if state.startswith("no "))
    strip = _strip(width, max(18, height // 14), words, missing, colour, share)
    picture[-len(strip) :] = strip[-height:]
    return picture


def _outline(picture: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    height, width = picture.shape[:2]
    left, right = (int(round(value)) for value in np.clip(box[[0, 2]], 0, width))
    top, bottom = (int(round(value)) for value in np.clip(box[[1, 3]], 0, height))
    picture[top : top + thickness, left:right] = colour
    picture[max(bottom - thickness, top) : bottom, left:right] = colour
    picture[top:bottom, left : left + thickness] = colour
    picture[top:bottom, max(right - thickness, left) : right] = colour


@lru_cache(maxsize=16)
def _strip(width: int, height: int, words: str, missing: str, colour: str, share: float | None) -> np.ndarray:
    """What stands below the picture: the same for all frames of a window."""
    strip = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=round(0.62 * height))
    margin, middle = height // 3, height / 2
    draw.rectangle((0, 0, margin // 2, height), fill=_rgb(colour))
    draw.text((margin, middle), words, fill=(255, 255, 255), font=font, anchor="lm")
    start = margin + max(draw.textlength(words, font), 0.3 * width) + margin
    end = width - margin
    if missing:
        length = draw.textlength(missing, font)
        if start + length + margin < end:
            draw.text((end, middle), missing, fill=(190, 190, 190), font=font, anchor="rm")
            end -= length + margin
    if share is not None and end - start > 2 * height:
        top, bottom = 0.32 * height, 0.68 * height
        draw.rectangle((start, top, end, bottom), fill=(70, 70, 70))
        draw.rectangle((start, top, start + share * (end - start), bottom), fill=_rgb(colour))
    return np.asarray(strip)


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


class _Sound:
    """The sound of the recording, encoded anew beside the pictures: one or two channels, without a hole in its clock."""

    def __init__(self, av, track: SoundTrack, output):
        self.av, self.track, self.output = av, track, output
        context = track.stream.codec_context
        self.rate = context.sample_rate
        self.layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self.stream = output.add_stream("aac", rate=self.rate, layout=self.layout)
        self._resampler, self._resampled = None, None
        self._blocks = track.placed()
        self._waiting = np.zeros((1 if self.layout == "mono" else 2, 0), np.float32)
        self._written = 0

    def write_until(self, seconds: float) -> None:
        """Encode what is heard before a time."""
        while self._written < seconds * self.rate:
            if self._waiting.shape[1] >= BLOCK:
                self._write(BLOCK)
                continue
            block = next(self._blocks, None)
            if block is None:
                return
            position, frame = block
            parts = self._converted(frame)
            ahead = round(position * self.rate / self.track.rate) - self._written - self._waiting.shape[1]
            self._append(ahead, parts)

    def finish(self) -> None:
        """Encode the rest."""
        if self._waiting.shape[1]:
            self._write(min(self._waiting.shape[1], BLOCK))
        self.output.mux(self.stream.encode(None))

    def _converted(self, frame) -> list[np.ndarray]:
        """Samples of a block in the channels and at the rate of the new file."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._resampled:  # a damaged or spliced recording may change its own
            self._resampler = self.av.AudioResampler("fltp", self.layout, self.rate)
            self._resampled = form
        frame.pts = None  # its place is known, and the resampler would refuse a jump
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        channels = len(self._waiting)
        return [part if len(part) == channels else np.repeat(part.mean(0)[None], channels, 0) for part in parts]

    def _append(self, ahead: int, parts: list[np.ndarray]) -> None:
        """Add samples; silence where time stamps leap ahead, and nothing of what was there already."""
        samples = np.concatenate([self._waiting[:, :0], *parts], axis=1)
        tolerance = self.rate // 20
        if ahead > tolerance:
            while ahead > 0:  # a long silence is written as it is made
                step = min(ahead, self.rate)
                self._waiting = np.pad(self._waiting, ((0, 0), (0, step)))
                ahead -= step
                while self._waiting.shape[1] > BLOCK:
                    self._write(BLOCK)
        elif ahead < -tolerance:
            samples = samples[:, -ahead:]
        self._waiting = np.concatenate([self._waiting, samples], axis=1)

    def _write(self, length: int) -> None:
        frame = self.av.AudioFrame.from_ndarray(
            np.ascontiguousarray(self._waiting[:, :length]), format="fltp", layout=self.layout
        )
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._written, Fraction(1, self.rate)
        self.output.mux(self.stream.encode(frame))
        self._waiting = self._waiting[:, length:]
        self._written += length


__all__ = ["annotate", "save_video"]
