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
"""Second pass over a media file: decode what the scan planned and keep the chosen frames and the sound."""

import math
from functools import partial

import numpy as np

from .media_scan import MediaError, Packet, Span, check_bytes, open_container, stamp_of


MAX_PIXELS_PER_FRAME = 8192 * 8192
# Time stamps of live recordings jitter; only a larger jump is a real hole in the sound.
SOUND_GAP_SECONDS = 0.04
# Of FFmpeg for one video, 0 is as many as it likes; processes that decode side by side are faster with one each.
DECODER_THREADS = 0


def decode(av, path: str, span: Span, num_frames: int | None, with_audio: bool):
    """Decode what the scan planned; num_frames 0 leaves the pictures out."""
    with open_container(av, path) as container:
        frames = sound = None
        if span.video is not None and num_frames != 0:
            frames = _FrameCollector(path, container.streams[span.video], span, num_frames)
        if span.audio is not None and with_audio:
            sound = _SoundCollector(av, path, container.streams[span.audio], span)
        collectors = {c.stream.index: c for c in (frames, sound) if c is not None}
        damaged = 0
        try:
            if span.entry_seconds is not None:
                container.seek(round((span.entry_seconds + span.zero) * 1e6))
            for packet in container.demux([c.stream for c in collectors.values()]):
                if stamp_of(packet) is None:
                    continue
                try:
                    collectors[packet.stream.index].feed(packet)
                except av.FFmpegError:
                    damaged += 1
                if all(c.is_full for c in collectors.values()):
                    break
        except (av.FFmpegError, IndexError):  # as in the scan
            damaged += 1
        for collector in collectors.values():
            try:
                collector.finish()
            except av.FFmpegError:
                damaged += 1
    return (
        frames.result() if frames else None,
        sound.result(is_padded=span.video is not None) if sound else None,
        damaged,
    )


def spread(seconds: np.ndarray, num_frames: int | None, start: float, end: float) -> np.ndarray:
    """Indices of the frames shown at the midpoints of equal parts of the span, none twice."""
    if num_frames is None or num_frames >= len(seconds):
        return np.arange(len(seconds))
    midpoints = start + (np.arange(num_frames) + 0.5) * (end - start) / num_frames
    chosen = np.clip(np.searchsorted(seconds, midpoints + 1e-6, side="right") - 1, 0, None)
    # Where a frame is held long (variable frame rate) its neighbours are taken instead of repeating it.
    steps = np.arange(num_frames)
    chosen = np.maximum.accumulate(chosen - steps) + steps
    return np.minimum(chosen, len(seconds) - num_frames + steps)


def prepare_pictures(path: str, stream) -> tuple[int, int]:
    """Set the decoder of a picture track up, with its bounds; returns width and height as stored."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS_PER_FRAME:
        raise MediaError(
            f"{path}: frames of {width}x{height} pixels, at most {MAX_PIXELS_PER_FRAME} pixels a frame are "
            f"decoded; make the video smaller with `ffmpeg -i <in> -vf scale=1280:-2 <out>.mp4`."
        )
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS_PER_FRAME)}
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = DECODER_THREADS
    return width, height


def upright(frame, stream, size: tuple[int, int] | None = None) -> np.ndarray:
    """A decoded frame as uint8 RGB `(height, width, 3)`, turned as it is shown; of another height and width than `size`, scaled."""
    aspect = float(stream.sample_aspect_ratio or 1)
    width, height = frame.width, frame.height
    if aspect != 1 and 0.5 <= aspect <= 2:  # pixels that are not square would distort faces
        width = max(1, round(width * aspect))
    # Starting threads takes longer than converting a frame.
    to_rgb = partial(frame.to_ndarray, format="rgb24", threads=1)
    image = np.rot90(to_rgb(width=width, height=height), round(frame.rotation / 90))
    if size is not None and image.shape[:2] != tuple(size):  # webcams may change their size while recording
        image = to_rgb(width=size[1], height=size[0])
    return image


class _FrameCollector:
    """Decodes only the groups of pictures that hold a chosen frame, and converts only the chosen frames."""

    def __init__(self, path: str, stream, span: Span, num_frames: int | None):
        self.stream, self.zero, self.start = stream, span.zero, span.start
        width, height = prepare_pictures(path, stream)
        seconds = np.unique([packet.seconds for packet in span.video_packets])
        inside = seconds[(seconds >= span.start - 1e-6) & (seconds < span.end - 1e-6)]
        if len(inside) == 0:  # the window lies between two frames: what is on the screen then
            inside = seconds[[max(np.searchsorted(seconds, span.start, side="right") - 1, 0)]]
        self.targets = inside[spread(inside, num_frames, span.start, span.end)]
        check_bytes(path, len(self.targets) * width * height * 3.0, f"{len(self.targets)} frames")
        self.needed = self._needed_stamps(span.video_packets, set(self.targets))
        self.images, self.seconds = None, []
        self.next_target = 0
        self.last_frame = None
        self.is_decoding = False

    @staticmethod
    def _needed_stamps(packets: list[Packet], chosen: set[float]) -> set[int]:
        """Packets from the keyframe before each chosen frame up to the frame itself, in decoding order."""
        needed, keyframe, before = set(), 0, 0
        for index, packet in enumerate(packets):
            if packet.is_keyframe:
                keyframe, before = index, keyframe
            if packet.seconds in chosen:
                # Frames shown before their keyframe refer to the group of pictures before it.
                first = before if packet.seconds < packets[keyframe].seconds else keyframe
                needed.update(range(first, index + 1))
        return {packets[index].stamp for index in needed}

    @property
    def is_full(self) -> bool:
        return self.next_target >= len(self.targets)

    def feed(self, packet):
        if self.is_full:
            return
        if stamp_of(packet) in self.needed or packet.is_discard:
            self.is_decoding = True
            self._take(self.stream.decode(packet))
        elif self.is_decoding:
            self.is_decoding = False
            self._take(self.stream.decode(None))
            self.stream.codec_context.flush_buffers()

    def finish(self):
        if not self.is_full:
            self._take(self.stream.decode(None))
        if not self.is_full and self.last_frame is not None:
            self._keep(self.last_frame)

    def _take(self, frames):
        for frame in frames:
            if frame.pts is None or self.is_full:
                continue
            seconds = self._seconds(frame)
            if seconds < self.targets[self.next_target] - 1e-6:
                self.last_frame = frame
                continue
            self._keep(frame)
            while not self.is_full and self.targets[self.next_target] <= seconds + 1e-6:
                self.next_target += 1

    def _seconds(self, frame) -> float:
        # Frames that leave the decoder at its end come without a time base of their own.
        return frame.pts * float(self.stream.time_base) - self.zero

    def _keep(self, frame):
        self.last_frame = None
        image = upright(frame, self.stream, None if self.images is None else self.images.shape[1:3])
        if self.images is None:
            self.images = np.empty((len(self.targets), *image.shape), np.uint8)
        self.images[len(self.seconds)] = image
        self.seconds.append(max(self._seconds(frame) - self.start, 0.0))

    def result(self):
        if self.images is None:
            return None
        size = (self.images.shape[2], self.images.shape[1])
        return self.images[: len(self.seconds)], np.array(self.seconds), size


class _SoundCollector:
    """Puts decoded sound where its time stamps say, so that it covers the span to the sample."""

    def __init__(self, av, path: str, stream, span: Span):
        self.av = av
        self.path, self.stream, self.start, self.end = path, stream, span.start + span.zero, span.end + span.zero
        self.waveform = None
        self.rate = 0
        self.cursor = None
        self.filled = 0

    @property
    def is_full(self) -> bool:
        return self.waveform is not None and self.cursor >= len(self.waveform)

    def feed(self, packet):
        if not self.is_full:
            self._take(self.stream.decode(packet))

    def finish(self):
        if not self.is_full:
            self._take(self.stream.decode(None))

    def _take(self, frames):
        for frame in frames:
            samples = mono(self.av, frame)
            if self.waveform is None:
                self.rate = frame.sample_rate
                length = max(1, round((self.end - self.start) * self.rate))
                check_bytes(self.path, length * 4.0, "the sound")
                self.waveform = np.zeros(length, np.float32)
            elif frame.sample_rate != self.rate:
                samples = resample(clean(samples), frame.sample_rate, self.rate)
            position = self.cursor or 0
            if frame.pts is not None:
                stamped = round((frame.pts * float(frame.time_base or self.stream.time_base) - self.start) * self.rate)
                if self.cursor is None or abs(stamped - self.cursor) > SOUND_GAP_SECONDS * self.rate:
                    position = stamped
            self.cursor = position + len(samples)
            first, last = max(position, 0), min(self.cursor, len(self.waveform))
            if first < last:
                self.waveform[first:last] = samples[first - position : last - position]
                self.filled = max(self.filled, last)

    def result(self, is_padded: bool):
        if self.waveform is None or (self.filled == 0 and not is_padded):
            return None
        return clean(self.waveform if is_padded else self.waveform[: self.filled]), self.rate


def mono(av, frame) -> np.ndarray:
    """A decoded block of sound, the mean of its channels; float32."""
    channels = frame.layout.nb_channels
    # PyAV (18.1) reads past the end of its list of planes, and crashes, at eight or more of them (7.1 sound); and it
    # has no arrays of 64-bit integers.
    if (frame.format.is_planar and channels >= 8) or frame.format.name.startswith("s64"):
        frame = av.AudioResampler(format="flt").resample(frame)[0]
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    mono = samples.mean(axis=0, dtype=np.float32 if samples.dtype.kind == "f" else np.float64)
    if samples.dtype.kind == "u":
        mono = (mono - 128) / 128
    elif samples.dtype.kind == "i":
        mono = mono / -float(np.iinfo(samples.dtype).min)
    return mono.astype(np.float32, copy=False)


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sampling rate of a mono waveform with a polyphase filter.

    Args:
        waveform (`np.ndarray` of shape `(num_samples,)`): mono sound.
        source_rate (`int`): its rate in Hz.
        target_rate (`int`): the wanted rate in Hz.

    Returns:
        `np.ndarray`: float32 of shape `(round(num_samples * target_rate / source_rate),)`.

    Raises:
        `ValueError`: the waveform is not one-dimensional or a rate is not a positive whole number.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(f"Expected a mono waveform of shape (num_samples,), received shape {waveform.shape}.")
    for name, rate in (("source_rate", source_rate), ("target_rate", target_rate)):
        if int(rate) != rate or rate <= 0:
            raise ValueError(f"{name} must be a positive whole number of Hz, received {rate!r}.")
    source_rate, target_rate = int(source_rate), int(target_rate)
    if source_rate == target_rate or waveform.size == 0:
        return waveform.copy()
    from scipy.signal import resample_poly  # takes longer to import than the rest of this package

    divisor = math.gcd(source_rate, target_rate)
    resampled = resample_poly(waveform, target_rate // divisor, source_rate // divisor).astype(np.float32, copy=False)
    length = round(len(waveform) * target_rate / source_rate)
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))


def clean(samples: np.ndarray) -> np.ndarray:
    """Replace what is not a number by silence and bound the rest."""
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0).astype(np.float32, copy=False)
