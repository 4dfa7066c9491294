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
"""Read pictures and sound from media files, both over the same stretch of time.

A file is demuxed once without decoding to learn when its frames are shown (headers of webcam recordings hold neither
duration, frame count nor rate), then decoded once, turning only the chosen frames into RGB.
"""

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .media_decode import clean, decode, resample
from .media_scan import MediaError, NoAudioError, NoVideoError, check_bytes, outside, scan, unreadable


__all__ = ["Clip", "MediaError", "NoAudioError", "NoVideoError", "read_audio", "read_clip", "resample"]

SOUNDFILE_SUFFIXES = (".wav", ".flac")


@dataclass
class Clip:
    """What was read from one file.

    Args:
        path (`str`, *optional*): file the clip came from.
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`, *optional*): uint8 RGB, upright.
        frame_seconds (`np.ndarray` of shape `(num_frames,)`, *optional*): when each frame is shown, in seconds from
            the first sample of `waveform`.
        waveform (`np.ndarray` of shape `(num_samples,)`, *optional*): float32 mono in [-1, 1], at its own rate.
        sampling_rate (`int`, *optional*): samples per second (Hz) of `waveform`.
        duration_seconds (`float`): length of the span that both cover.
        source_size (`tuple[int, int]`, *optional*): upright width and height of the pictures, in pixels.
    """

    path: str | None
    frames: np.ndarray | None
    frame_seconds: np.ndarray | None
    waveform: np.ndarray | None
    sampling_rate: int | None
    duration_seconds: float
    source_size: tuple[int, int] | None


def read_clip(
    path,
    num_frames: int | None = 30,
    *,
    with_video: bool = True,
    with_audio: bool = True,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Clip:
    """Read frames and sound of a file over the same span.

    Time zero is the first frame, or the first sample where there is no picture. The span is the window asked for, cut
    to the length of the video; sound is cut or padded with zeros to exactly this span. A video of one single frame
    lasts as long as its sound.

    Args:
        path (`str` or `Path`): a local file in any container and codec that PyAV reads.
        num_frames (`int`, *optional*, defaults to 30): frames at the midpoints of that many equal parts of the span,
            none twice; all frames where the span holds fewer. `None` returns every frame.
        with_video (`bool`, *optional*, defaults to `True`): whether to read pictures.
        with_audio (`bool`, *optional*, defaults to `True`): whether to read sound.
        start_seconds (`float`, *optional*): start of the window; the file is entered at the keyframe before it.
        end_seconds (`float`, *optional*): end of the window; cut to the end of the file.

    Returns:
        `Clip`: `frames` is `None` for a file without pictures, `waveform` is `None` for one without a sound track.

    Raises:
        `TypeError`: `path` is neither `str` nor `Path`.
        `MediaError`: the file is missing, not media, too damaged, too large, or the window lies outside of it;
            `NoVideoError` or `NoAudioError` if it lacks the only thing that was asked for.
    """
    path = checked_path(path)
    start, end = _checked_window(path, start_seconds, end_seconds)
    if num_frames is not None and (isinstance(num_frames, bool) or int(num_frames) != num_frames or num_frames < 1):
        raise ValueError(f"num_frames must be a whole number of at least 1 or None, received {num_frames!r}.")
    if not with_video and not with_audio:
        raise ValueError("Nothing to read: with_video and with_audio are both False; set one of them to True.")
    if with_audio and Path(path).suffix.lower() in SOUNDFILE_SUFFIXES:
        sound = _read_soundfile(path, start, end)
        if sound is not None:
            return Clip(path, None, None, *sound, len(sound[0]) / sound[1], None)
    av = import_av()
    try:
        span = scan(av, path, with_video, with_audio, start, end)
        pictures, sound, damaged = decode(av, path, span, num_frames if with_video else 0, with_audio)
    except av.FFmpegError as error:
        raise unreadable(path, error) from error
    warn_of_damage(path, span.reached_seconds, span.announced_seconds, damaged)
    frames, frame_seconds, source_size = pictures or (None, None, None)
    waveform, sampling_rate = sound or (None, None)
    if frames is None and waveform is None:
        raise MediaError(f"{path}: expected pictures or sound, but nothing of it can be decoded; get another copy.")
    seconds = span.end - span.start if span.video is not None else len(waveform) / sampling_rate
    return Clip(path, frames, frame_seconds, waveform, sampling_rate, seconds, source_size)


def read_audio(path, start_seconds: float | None = None, end_seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Read the sound of a file, over the same span as `read_clip` does.

    Args:
        path (`str` or `Path`): a sound or video file.
        start_seconds (`float`, *optional*): start of the window.
        end_seconds (`float`, *optional*): end of the window.

    Returns:
        `tuple[np.ndarray, int]`: float32 mono waveform of shape `(num_samples,)` in [-1, 1] and its own rate in Hz.

    Raises:
        `NoAudioError`: the file has no sound track.
        `MediaError`: as in `read_clip`.
    """
    clip = read_clip(path, with_video=False, start_seconds=start_seconds, end_seconds=end_seconds)
    return clip.waveform, clip.sampling_rate


def warn_of_damage(path: str, reached_seconds: float, announced_seconds: float | None, damaged: int) -> None:
    """Say what of a file is not there; `announced_seconds` only if it is cut short."""
    if announced_seconds is not None:
        warnings.warn(
            f"{path}: cut short, only {reached_seconds:.2f} of {announced_seconds:.2f} s are there.", stacklevel=3
        )
    if damaged:
        warnings.warn(f"{path}: {damaged} damaged packets were left out.", stacklevel=3)


def import_av():
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading media files needs PyAV: `pip install av`.") from error
    return av


def checked_path(path) -> str:
    """The absolute path of a file that holds something; an error says what is wrong with any other."""
    if not isinstance(path, (str, Path)):
        raise TypeError(f"Expected the path of a media file as str or Path, received {type(path).__name__}.")
    # An absolute path is never taken for a protocol such as `http:` or `concat:`.
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(path):
        raise MediaError(f"{path}: expected a media file, but nothing is there; check the path.")
    if not os.path.isfile(path):
        raise MediaError(f"{path}: expected a media file, but it is a folder or device; give the path of one file.")
    if os.path.getsize(path) == 0:
        raise MediaError(f"{path}: expected a media file, but it holds zero bytes; copy or download it again.")
    return path


def _checked_window(path: str, start: float | None, end: float | None) -> tuple[float, float | None]:
    start = 0.0 if start is None else float(start)
    end = None if end is None else float(end)
    if not (math.isfinite(start) and start >= 0) or (end is not None and not (math.isfinite(end) and end > start)):
        raise MediaError(f"{path}: expected 0 <= start_seconds < end_seconds, received {start} and {end}.")
    return start, end


def _read_soundfile(path: str, start: float, end: float | None) -> tuple[np.ndarray, int] | None:
    """Read wav and flac exactly; None leaves the file to PyAV (no soundfile, or another format by this name)."""
    try:
        import soundfile
    except ImportError:
        return None
    try:
        with soundfile.SoundFile(path) as file:
            rate, length = file.samplerate, file.frames
            first = round(start * rate)
            if first >= max(length, 1):
                raise outside(path, start, length / rate)
            last = length if end is None else min(round(end * rate), length)
            check_bytes(path, (last - first) * file.channels * 4.0, "the sound")
            file.seek(first)
            samples = file.read(max(last - first, 1), dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return None
    if len(samples) == 0:
        return None
    return clean(samples.mean(axis=1)), rate
