# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What the demo takes from strangers, and the look at a file before anything of it is decoded."""

import os
from dataclasses import dataclass
from pathlib import Path

from .media import MediaError, checked_path, import_av
from .media_scan import announced_seconds, open_container, stamp_of, tracks_of, unreadable


SAMPLING_RATES = (4_000, 384_000)


@dataclass(frozen=True)
class DemoLimits:
    """
    Bounds of one job and of the app.

    Args:
        file_megabytes (`int`): largest upload, in MB.
        media_seconds (`float`): longest recording.
        min_seconds (`float`): shortest clip that is answered.
        frame_pixels (`int`): largest picture, width times height.
        job_seconds (`float`): how long one job may work.
        job_gigabytes (`float`): memory, in GiB, that one job may take beyond what the networks need.
        num_workers (`int`): jobs at the same time; each has a process of its own.
        queue_size (`int`): jobs that may wait; more are refused with a message.
        keep_seconds (`int`): how long an upload lies on disk, so that its player can play it.
    """

    file_megabytes: int = 50
    media_seconds: float = 600.0
    min_seconds: float = 0.5
    frame_pixels: int = 3840 * 2160
    job_seconds: float = 180.0
    job_gigabytes: float = 3.0
    num_workers: int = 2
    queue_size: int = 60
    keep_seconds: int = 900

    def in_words(self) -> str:
        """The bounds as the first screen states them."""
        return f"At most {self.file_megabytes} MB and {self.media_seconds / 60:g} minutes."


@dataclass(frozen=True)
class MediaFacts:
    """What a file says of itself: its length in seconds, and which tracks it has."""

    seconds: float
    has_pictures: bool
    has_sound: bool


def inspect_media(path: str | os.PathLike, limits: DemoLimits) -> MediaFacts:
    """
    Refuse what is too large, too long or no media at all, without decoding anything.

    Args:
        path (`str` or `Path`): the file.
        limits ([`DemoLimits`]): what is allowed.

    Returns:
        [`MediaFacts`]

    Raises:
        MediaError: the file breaks a bound, or cannot be opened; says which bound and what to do.
    """
    path = checked_path(path)
    check_size(path, limits)
    av = import_av()
    try:
        with open_container(av, path) as container:
            video, audio, zero = tracks_of(av, container)
            if video is None and audio is None:
                raise MediaError(f"{path}: expected pictures or sound, found neither. Give a video or sound file.")
            if video is not None:
                _check_picture(path, video.codec_context, limits)
            if audio is not None:
                _check_sound(path, audio.codec_context)
            announced = announced_seconds(container, [s for s in (video, audio) if s is not None], zero)
            _check_length(path, announced or 0.0, limits)
            seconds = _length_of_packets(av, path, container, (video, audio), zero, limits)
    except av.FFmpegError as error:
        raise unreadable(path, error) from error
    return MediaFacts(seconds, video is not None, audio is not None)


def check_size(path: str, limits: DemoLimits) -> None:
    """Refuse a file of more bytes than allowed."""
    size = os.path.getsize(path)
    if size > limits.file_megabytes * 1e6:
        raise MediaError(
            f"{path}: a file of {size / 1e6:.0f} MB, at most {limits.file_megabytes} are taken here. Cut or compress it."
        )


def _check_picture(path: str, codec, limits: DemoLimits) -> None:
    if codec.width * codec.height > limits.frame_pixels:
        raise MediaError(
            f"{path}: pictures of {codec.width} x {codec.height}, at most {limits.frame_pixels / 1e6:.1f} megapixels are taken "
            "here. Make the video smaller."
        )


def _check_sound(path: str, codec) -> None:
    low, high = SAMPLING_RATES
    if codec.sample_rate and not low <= codec.sample_rate <= high:
        raise MediaError(
            f"{path}: sound at {codec.sample_rate} Hz, expected {low} to {high}. Save it anew at 44100 Hz."
        )


def _check_length(path: str, seconds: float, limits: DemoLimits) -> None:
    if seconds > limits.media_seconds:
        raise MediaError(
            f"{path}: longer than {limits.media_seconds / 60:g} minutes, which is the most that is taken here. Cut it, or run "
            "`tacfn timeline` on your own machine, which has no such limit."
        )


def _length_of_packets(av, path: str, container, tracks: tuple, zero: float, limits: DemoLimits) -> float:
    """How long the file really is: headers of webcam recordings hold no length, and those of a bomb lie."""
    last: dict[int, float] = {}
    earliest = zero
    try:
        for packet in container.demux([stream for stream in tracks if stream is not None]):
            stamp = stamp_of(packet)
            if stamp is None:
                continue
            index, seconds = packet.stream.index, float(stamp * packet.time_base)
            end = seconds + float((packet.duration or 0) * packet.time_base)
            last[index] = max(last.get(index, end), end)
            earliest = min(earliest, seconds)
            _check_length(path, seconds - earliest, limits)
    except (av.FFmpegError, IndexError):  # cut short: what came is good
        pass
    # Sound is cut to the length of the pictures, as `read_clip` does; a still picture lasts as long as its sound.
    pictured = 0.0 if tracks[0] is None else last.get(tracks[0].index, zero) - zero
    return pictured if pictured > limits.min_seconds else max(last.values(), default=zero) - zero


def shown_without_folder(message: str, paths: list[str]) -> str:
    """A message that names files by their names only: where they lie on the server is nobody's business."""
    for path in paths:
        message = message.replace(str(Path(path).parent) + os.sep, "")
    return message


__all__ = ["DemoLimits", "MediaFacts", "check_size", "inspect_media", "shown_without_folder"]
