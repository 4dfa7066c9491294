# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
A long recording read forwards once: pictures as they are shown, sound as far as it is asked for, nothing kept that is past.

Each track is read through an opening of the file of its own, so that a file whose pictures and sound lie far apart needs no
more memory than one where they lie side by side. Times are those of `media.read_clip`.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .media import checked_path, import_av, resample, warn_of_damage
from .media_decode import SOUND_GAP_SECONDS, clean, mono, prepare_pictures
from .media_scan import (
    MediaError,
    NoAudioError,
    NoVideoError,
    Packet,
    announced_seconds,
    check_jump,
    end_of,
    is_cut_short,
    open_container,
    stamp_of,
    tracks_of,
    unreadable,
)


# Packets from which the length of the last frame is told.
PACKETS_REMEMBERED = 64


class _Track:
    """One track of a file, decoded forwards."""

    def __init__(self, av, path: str, kind: str):
        self.av, self.path = av, path
        self.container = open_container(av, path)
        video, audio, self.zero = tracks_of(av, self.container)
        self.stream = video if kind == "video" else audio
        self.damaged = 0
        self.has_ended = False
        self.packets: deque[Packet] = deque(maxlen=PACKETS_REMEMBERED)
        self._bytes_read = 0

    @property
    def share_read(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return 1.0 if self.has_ended else min(self._bytes_read / os.path.getsize(self.path), 1.0)

    @property
    def end_seconds(self) -> float:
        """When what was read so far is over; 0 before anything was."""
        return end_of(self.path, self.packets) if self.packets else 0.0

    def decoded(self) -> Iterator:
        """Decoded frames in their order; damaged packets are counted and left out."""
        base = float(self.stream.time_base)
        try:
            for packet in self.container.demux(self.stream):
                stamp = stamp_of(packet)
                if stamp is None:
                    continue
                if not packet.is_discard:
                    duration = (packet.duration or 0) * base
                    self.packets.append(Packet(stamp * base - self.zero, duration, stamp, packet.is_keyframe))
                self._bytes_read = max(self._bytes_read, packet.pos or 0)
                try:
                    frames = self.stream.decode(packet)
                except self.av.FFmpegError:
                    self.damaged += 1
                    continue
                yield from frames
        except (self.av.FFmpegError, IndexError):  # cut short, or a track that was not there at first
            self.damaged += 1
        try:
            yield from self.stream.decode(None)
        except self.av.FFmpegError:
            self.damaged += 1


class PictureTrack(_Track):
    """
    The pictures of a recording.

    Args:
        av: the module.
        path (`str`): the file.
    """

    def __init__(self, av, path: str):
        super().__init__(av, path, "video")
        prepare_pictures(path, self.stream)
        self.num_frames = 0

    def frames(self) -> Iterator[tuple[float, object]]:
        """Each frame as PyAV decodes it, with the seconds from the start of the recording at which it is shown; ascending."""
        last = -1e-6
        for frame in self.decoded():
            if frame.pts is None:
                continue
            # Frames that leave the decoder at its end come without a time base of their own.
            seconds = frame.pts * float(self.stream.time_base) - self.zero
            if seconds < last or (self.num_frames and seconds == last):
                continue
            check_jump(self.path, seconds - max(last, 0.0))
            last = seconds
            self.num_frames += 1
            yield max(seconds, 0.0), frame
        self.has_ended = True


class SoundTrack(_Track):
    """
    The sound of a recording: blocks of samples at the places where their time stamps put them.

    Args:
        av: the module.
        path (`str`): the file.
    """

    def __init__(self, av, path: str):
        super().__init__(av, path, "audio")
        self.rate: int | None = None
        self._placed = self.placed()
        self._blocks: deque[tuple[int, np.ndarray]] = deque()
        self._cursor: int | None = None
        self._forgotten = 0
        self._filled = 0

    @property
    def end_seconds(self) -> float:
        """Where the sound that was decoded so far ends."""
        return self._filled / self.rate if self.rate else 0.0

    def read_until(self, seconds: float) -> None:
        """Decode what lies before `seconds`, or all there is."""
        while not self.has_ended and (self.rate is None or self._cursor < seconds * self.rate):
            block = next(self._placed, None)
            if block is not None:
                self._take(*block)

    def cut(self, start: float, end: float) -> np.ndarray | None:
        """Samples `(num_samples,)` of a window that was read and not forgotten, zeros where there are none; `None` without a track."""
        if self.rate is None:
            return None
        first = round(start * self.rate)
        window = np.zeros(max(1, round((end - start) * self.rate)), np.float32)
        for position, samples in self._blocks:
            low, high = max(position, first), min(position + len(samples), first + len(window))
            if low < high:
                window[low - first : high - first] = samples[low - position : high - position]
        return window

    def forget(self, seconds: float) -> None:
        """Let go of what lies before `seconds`."""
        if self.rate is None:
            return
        self._forgotten = round(seconds * self.rate)
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= self._forgotten:
            self._blocks.popleft()

    def placed(self) -> Iterator[tuple[int, object]]:
        """Each block as PyAV decodes it, with the place of its first sample, at `rate`, counted from the start of the recording."""
        for frame in self.decoded():
            self.rate = self.rate or frame.sample_rate
            position = self._cursor or 0
            if frame.pts is not None:
                seconds = frame.pts * float(frame.time_base or self.stream.time_base) - self.zero
                stamped = round(seconds * self.rate)
                if self._cursor is None or abs(stamped - self._cursor) > SOUND_GAP_SECONDS * self.rate:
                    check_jump(self.path, (stamped - (self._cursor or 0)) / self.rate)
                    position = stamped
            self._cursor = position + round(frame.samples * self.rate / frame.sample_rate)
            self._filled = max(self._filled, self._cursor)
            yield position, frame
        self.has_ended = True

    def _take(self, position: int, frame) -> None:
        samples = clean(mono(self.av, frame))
        if frame.sample_rate != self.rate:
            samples = resample(samples, frame.sample_rate, self.rate)
        if position + len(samples) > self._forgotten:
            self._blocks.append((position, samples))


@dataclass
class Recording:
    """
    An open recording.

    Args:
        path (`str`): the file.
        pictures ([`PictureTrack`], *optional*): `None` where there are none, or none are wanted.
        sound ([`SoundTrack`], *optional*): likewise.
        announced_seconds (`float`, *optional*): length as the header has it; webcams write none.
    """

    path: str
    pictures: PictureTrack | None
    sound: SoundTrack | None
    announced_seconds: float | None

    def share_read(self, seconds: float) -> float:
        """How much of the recording lies before `seconds`, from 0 to 1; by the bytes read where no length is known."""
        if self.announced_seconds:
            return min(seconds / self.announced_seconds, 1.0)
        return min((track.share_read for track in (self.pictures, self.sound) if track is not None), default=1.0)

    def warn_of_damage(self) -> None:
        """Say, once all was read, what of the file is not there."""
        tracks = [track for track in (self.pictures, self.sound) if track is not None]
        reached = max((track.end_seconds for track in tracks), default=0.0)
        missing = self.announced_seconds if tracks and is_cut_short(reached, self.announced_seconds) else None
        warn_of_damage(self.path, reached, missing, sum(track.damaged for track in tracks))


@contextmanager
def open_recording(path, with_video: bool = True, with_audio: bool = True) -> Iterator[Recording]:
    """
    Open a recording to read it forwards.

    Args:
        path (`str` or `Path`): a local file in any container and codec that PyAV reads.
        with_video (`bool`, *optional*, defaults to `True`): whether pictures are wanted.
        with_audio (`bool`, *optional*, defaults to `True`): whether sound is wanted.

    Returns:
        `Iterator[Recording]`: closed when the block ends.

    Raises:
        MediaError: the file is missing, not media, or has nothing of what is wanted.
    """
    path, av = checked_path(path), import_av()
    opened = []
    try:
        with open_container(av, path) as container:
            video, audio, zero = tracks_of(av, container)
            streams = [stream for stream in (video, audio) if stream is not None]
            length = announced_seconds(container, streams, zero) if streams else None
        if not streams:
            raise MediaError(f"{path}: expected pictures or sound, but no track of it can be read; get another copy.")
        if video is None and not with_audio:
            raise NoVideoError(f"{path}: expected pictures, but it only has sound; give a video file.")
        if audio is None and not with_video:
            raise NoAudioError(f"{path}: expected sound, but it has no sound track; give a file with sound.")
        pictures = PictureTrack(av, path) if video is not None and with_video else None
        opened += [pictures] if pictures else []
        sound = SoundTrack(av, path) if audio is not None and with_audio else None
        opened += [sound] if sound else []
    except av.FFmpegError as error:
        _close(opened)
        raise unreadable(path, error) from error
    try:
        yield Recording(path, pictures, sound, length)
    finally:
        _close(opened)


def _close(tracks: list[_Track]) -> None:
    for track in tracks:
        track.container.close()


__all__ = ["PictureTrack", "Recording", "SoundTrack", "open_recording"]
