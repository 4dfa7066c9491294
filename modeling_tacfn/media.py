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
from scipy.signal import resample_poly


MAX_PIXELS_PER_FRAME = 8192 * 8192
MAX_CLIP_BYTES = 4 * 1024**3
SOUNDFILE_SUFFIXES = (".wav", ".flac")
# Only real containers: playlists (hls, concat, dash) would let a file open other files, text and images are no clips.
CONTAINERS = (
    "mov,mp4,m4a,3gp,matroska,webm,flv,avi,mpeg,mpegts,asf,ogg,wav,w64,flac,mp3,aac,aiff,au,caf,amr,ac3,dv,mxf"
)
# Formats whose header announces a duration; elsewhere it is an estimate from the bit rate.
CONTAINERS_WITH_DURATION = ("mov", "matroska", "flv", "avi")
# Sound packets are stored beside pictures of about the same time, and some codecs need the packet before.
SEEK_MARGIN_SECONDS = 0.5
# Time stamps of live recordings jitter; only a larger jump is a real hole in the sound.
SOUND_GAP_SECONDS = 0.04


class MediaError(ValueError):
    """A media file cannot be read; the message holds its path, what was expected, what came, and a remedy."""


class NoVideoError(MediaError):
    """Pictures were asked for and the file has none."""


class NoAudioError(MediaError):
    """Sound was asked for and the file has none."""


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
    path = _checked_path(path)
    start, end = _checked_window(path, start_seconds, end_seconds)
    if num_frames is not None and (isinstance(num_frames, bool) or int(num_frames) != num_frames or num_frames < 1):
        raise ValueError(f"num_frames must be a whole number of at least 1 or None, received {num_frames!r}.")
    if not with_video and not with_audio:
        raise ValueError("Nothing to read: with_video and with_audio are both False; set one of them to True.")
    if with_audio and Path(path).suffix.lower() in SOUNDFILE_SUFFIXES:
        sound = _read_soundfile(path, start, end)
        if sound is not None:
            return Clip(path, None, None, *sound, len(sound[0]) / sound[1], None)
    av = _import_av()
    try:
        span = _scan(av, path, with_video, with_audio, start, end)
        clip, damaged = _decode(av, path, span, num_frames if with_video else 0, with_audio)
    except av.FFmpegError as error:
        raise MediaError(
            f"{path}: expected an audio or video file, but it cannot be opened ({error.strerror or error}). It is cut "
            f"short, damaged, or not media at all; copy it again or convert it with `ffmpeg -i <in> <out>.mp4`."
        ) from error
    if span.announced_seconds is not None:
        warnings.warn(
            f"{path}: cut short, only {span.reached_seconds:.2f} of {span.announced_seconds:.2f} s are there.",
            stacklevel=2,
        )
    if damaged:
        warnings.warn(f"{path}: {damaged} damaged packets were left out.", stacklevel=2)
    return clip


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
    divisor = math.gcd(source_rate, target_rate)
    resampled = resample_poly(waveform, target_rate // divisor, source_rate // divisor).astype(np.float32, copy=False)
    length = round(len(waveform) * target_rate / source_rate)
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))


def _import_av():
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading media files needs PyAV: `pip install av`.") from error
    return av


def _checked_path(path) -> str:
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


def _outside(path: str, start: float, length: float) -> MediaError:
    return MediaError(
        f"{path}: the window starts at {start:.3f} s, but the recording lasts {length:.3f} s; "
        f"choose start_seconds below that."
    )


def _check_bytes(path: str, num_bytes: float, what: str):
    if num_bytes > MAX_CLIP_BYTES:
        raise MediaError(
            f"{path}: {what} would take {num_bytes / 1024**3:.1f} GiB of memory, at most {MAX_CLIP_BYTES / 1024**3:.0f} "
            f"are allowed; read it in parts with start_seconds and end_seconds, or ask for fewer frames."
        )


def _clean(samples: np.ndarray) -> np.ndarray:
    """Replace what is not a number by silence and bound the rest."""
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0).astype(np.float32, copy=False)


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
                raise _outside(path, start, length / rate)
            last = length if end is None else min(round(end * rate), length)
            _check_bytes(path, (last - first) * file.channels * 4.0, "the sound")
            file.seek(first)
            samples = file.read(max(last - first, 1), dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return None
    if len(samples) == 0:
        return None
    return _clean(samples.mean(axis=1)), rate


@dataclass
class _Packet:
    seconds: float  # presentation time, counted from the start of the recording
    duration: float  # 0 where the container does not say
    stamp: int  # names the packet when the file is read again
    is_keyframe: bool


@dataclass
class _Span:
    """What the first pass over a file learns."""

    video: int | None  # stream index
    audio: int | None
    zero: float  # presentation time of the start of the recording
    start: float
    end: float
    entry_seconds: float | None  # where to enter the file; None = at its beginning
    video_packets: list[_Packet]
    reached_seconds: float
    announced_seconds: float | None  # only if the file is shorter than its header says


def _open(av, path: str):
    return av.open(path, options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"})


def _stamp(packet) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _scan(av, path: str, with_video: bool, with_audio: bool, start: float, end: float | None) -> _Span:
    """Learn from the packets, without decoding, which tracks there are, what they cover and when frames are shown."""
    with _open(av, path) as container:
        attached = av.stream.Disposition.attached_pic  # cover art of a song is not a video
        pictures = [s for s in container.streams.video if s.codec_context and not s.disposition & attached]
        sounds = [s for s in container.streams.audio if s.codec_context]
        # The video is scanned even when only the sound is wanted: it defines the span.
        streams = pictures[:1] + sounds[:1]
        zero = next((float(s.start_time * s.time_base) for s in streams if s.start_time is not None), 0.0)
        entry = start + zero - SEEK_MARGIN_SECONDS if start > SEEK_MARGIN_SECONDS else None
        packets = _demux(av, container, streams, zero, entry, end)
        main = next((s for s in streams if packets[s.index]), None)
        if entry is not None and (main is None or packets[main.index][0].seconds > start):
            entry = None
        announced = _announced_seconds(container, streams, zero)
    if entry is None and start > SEEK_MARGIN_SECONDS:
        with _open(av, path) as container:
            streams = [container.streams[s.index] for s in streams]
            packets = _demux(av, container, streams, zero, None, end)
            main = next((s for s in streams if packets[s.index]), None)
    video = pictures[0].index if pictures and packets[pictures[0].index] else None
    audio = sounds[0].index if sounds and packets[sounds[0].index] else None
    if video is None and audio is None:
        raise MediaError(f"{path}: expected pictures or sound, but no track of it can be read; get another copy.")
    if video is None and not with_audio:
        raise NoVideoError(f"{path}: expected pictures, but it only has sound; give a video file.")
    if audio is None and not with_video:
        raise NoAudioError(f"{path}: expected sound, but it has no sound track; give a file with sound.")

    reached = max(_end_seconds(p) for p in packets.values() if p)
    last = _end_seconds(packets[main.index])
    if video is not None and len(packets[video]) == 1 and start == 0:
        last = reached  # a still picture lasts as long as its sound
    if start >= last:
        raise _outside(path, start, last)
    short = announced is not None and reached < announced - max(0.5, 0.02 * announced)
    if end is not None and end <= last:
        short, last = False, end
    return _Span(video, audio, zero, start, last, entry, packets.get(video, []), reached, announced if short else None)


def _demux(av, container, streams, zero: float, entry: float | None, end: float | None) -> dict[int, list[_Packet]]:
    packets = {stream.index: [] for stream in streams}
    if not streams:
        return packets
    waiting = set(packets)
    try:
        if entry is not None:
            container.seek(round(entry * 1e6))
        for packet in container.demux(streams):
            if _stamp(packet) is None or packet.is_discard:
                continue
            index, base = packet.stream.index, float(packet.time_base)
            seconds = _stamp(packet) * base - zero
            packets[index].append(_Packet(seconds, (packet.duration or 0) * base, _stamp(packet), packet.is_keyframe))
            # Decoding times only grow, and no frame is shown before it is decoded.
            decoded = (packet.dts if packet.dts is not None else packet.pts) * base - zero
            if end is not None and decoded >= end:
                waiting.discard(index)
                if not waiting or decoded > end + 10:
                    break
    except av.FFmpegError:
        pass  # a file that was cut short ends here; what came before is good
    return packets


def _end_seconds(packets: list[_Packet]) -> float:
    last = max(packets, key=lambda packet: packet.seconds)
    if last.duration:
        return last.seconds + last.duration
    seconds = np.unique([packet.seconds for packet in packets])
    return last.seconds + (float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.04)


def _announced_seconds(container, streams, zero: float) -> float | None:
    if not container.format.name.startswith(CONTAINERS_WITH_DURATION):
        return None
    lengths = [float((s.duration + (s.start_time or 0)) * s.time_base) for s in streams if s.duration]
    if not lengths and container.duration:
        lengths = [(container.duration + (container.start_time or 0)) / 1e6]
    return max(lengths) - zero if lengths else None


def _decode(av, path: str, span: _Span, num_frames: int | None, with_audio: bool) -> tuple[Clip, int]:
    """Decode what the scan planned; num_frames 0 leaves the pictures out."""
    with _open(av, path) as container:
        frames = sound = None
        if span.video is not None and num_frames != 0:
            frames = _FrameCollector(path, container.streams[span.video], span, num_frames)
        if span.audio is not None and with_audio:
            sound = _SoundCollector(path, container.streams[span.audio], span)
        collectors = {c.stream.index: c for c in (frames, sound) if c is not None}
        damaged = 0
        try:
            if span.entry_seconds is not None:
                container.seek(round(span.entry_seconds * 1e6))
            for packet in container.demux([c.stream for c in collectors.values()]):
                if _stamp(packet) is None:
                    continue
                try:
                    collectors[packet.stream.index].feed(packet)
                except av.FFmpegError:
                    damaged += 1
                if all(c.is_full for c in collectors.values()):
                    break
        except av.FFmpegError:
            damaged += 1
        for collector in collectors.values():
            try:
                collector.finish()
            except av.FFmpegError:
                damaged += 1
    pictures, frame_seconds, size = frames.result() if frames else (None, None, None)
    waveform, rate = sound.result(is_padded=span.video is not None) if sound else (None, None)
    if pictures is None and waveform is None:
        raise MediaError(f"{path}: expected pictures or sound, but nothing of it can be decoded; get another copy.")
    seconds = span.end - span.start if span.video is not None else len(waveform) / rate
    return Clip(path, pictures, frame_seconds, waveform, rate, seconds, size), damaged


def _spread(seconds: np.ndarray, num_frames: int | None, start: float, end: float) -> np.ndarray:
    """Indices of the frames shown at the midpoints of equal parts of the span, none twice."""
    if num_frames is None or num_frames >= len(seconds):
        return np.arange(len(seconds))
    midpoints = start + (np.arange(num_frames) + 0.5) * (end - start) / num_frames
    chosen = np.clip(np.searchsorted(seconds, midpoints + 1e-6, side="right") - 1, 0, None)
    # Where a frame is held long (variable frame rate) its neighbours are taken instead of repeating it.
    steps = np.arange(num_frames)
    chosen = np.maximum.accumulate(chosen - steps) + steps
    return np.minimum(chosen, len(seconds) - num_frames + steps)


class _FrameCollector:
    """Decodes only the groups of pictures that hold a chosen frame, and converts only the chosen frames."""

    def __init__(self, path: str, stream, span: _Span, num_frames: int | None):
        self.stream, self.zero, self.start = stream, span.zero, span.start
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS_PER_FRAME:
            raise MediaError(
                f"{path}: frames of {width}x{height} pixels, at most {MAX_PIXELS_PER_FRAME} pixels a frame are "
                f"decoded; make the video smaller with `ffmpeg -i <in> -vf scale=1280:-2 <out>.mp4`."
            )
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS_PER_FRAME)}
        stream.thread_type = "AUTO"
        seconds = np.unique([packet.seconds for packet in span.video_packets])
        inside = seconds[(seconds >= span.start - 1e-6) & (seconds < span.end - 1e-6)]
        if len(inside) == 0:  # the window lies between two frames: what is on the screen then
            inside = seconds[[max(np.searchsorted(seconds, span.start, side="right") - 1, 0)]]
        self.targets = inside[_spread(inside, num_frames, span.start, span.end)]
        _check_bytes(path, len(self.targets) * width * height * 3.0, f"{len(self.targets)} frames")
        self.needed = self._needed_stamps(span.video_packets, set(self.targets))
        self.images, self.seconds = [], []
        self.next_target = 0
        self.last_frame = None
        self.is_decoding = False

    @staticmethod
    def _needed_stamps(packets: list[_Packet], chosen: set[float]) -> set[int]:
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
        if _stamp(packet) in self.needed or packet.is_discard:
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
            if frame.time is None or self.is_full:
                continue
            seconds = frame.time - self.zero
            if seconds < self.targets[self.next_target] - 1e-6:
                self.last_frame = frame
                continue
            self._keep(frame)
            while not self.is_full and self.targets[self.next_target] <= seconds + 1e-6:
                self.next_target += 1

    def _keep(self, frame):
        self.last_frame = None
        aspect = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
        aspect = float(aspect or self.stream.sample_aspect_ratio or 1)
        width, height = frame.width, frame.height
        if aspect != 1 and 0.5 <= aspect <= 2:  # pixels that are not square would distort faces
            width = max(1, round(width * aspect))
        image = frame.to_ndarray(format="rgb24", width=width, height=height)
        image = np.rot90(image, round(frame.rotation / 90))
        if self.images and image.shape != self.images[0].shape:  # webcams may change their size while recording
            height, width = self.images[0].shape[:2]
            image = frame.to_ndarray(format="rgb24", width=width, height=height)
        self.images.append(image)
        self.seconds.append(max(frame.time - self.zero - self.start, 0.0))

    def result(self):
        if not self.images:
            return None, None, None
        height, width = self.images[0].shape[:2]
        return np.stack(self.images), np.array(self.seconds), (width, height)


class _SoundCollector:
    """Puts decoded sound where its time stamps say, so that it covers the span to the sample."""

    def __init__(self, path: str, stream, span: _Span):
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
            samples = _mono(frame)
            if self.waveform is None:
                self.rate = frame.sample_rate
                length = max(1, round((self.end - self.start) * self.rate))
                _check_bytes(self.path, length * 4.0, "the sound")
                self.waveform = np.zeros(length, np.float32)
            elif frame.sample_rate != self.rate:
                samples = resample(samples, frame.sample_rate, self.rate)
            position = self.cursor or 0
            if frame.time is not None:
                stamped = round((frame.time - self.start) * self.rate)
                if self.cursor is None or abs(stamped - self.cursor) > SOUND_GAP_SECONDS * self.rate:
                    position = stamped
            self.cursor = position + len(samples)
            first, last = max(position, 0), min(self.cursor, len(self.waveform))
            if first < last:
                self.waveform[first:last] = samples[first - position : last - position]
                self.filled = max(self.filled, last)

    def result(self, is_padded: bool):
        if self.waveform is None or (self.filled == 0 and not is_padded):
            return None, None
        return _clean(self.waveform if is_padded else self.waveform[: self.filled]), self.rate


def _mono(frame) -> np.ndarray:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    mono = samples.mean(axis=0, dtype=np.float32 if samples.dtype.kind == "f" else np.float64)
    if samples.dtype.kind == "u":
        mono = (mono - 128) / 128
    elif samples.dtype.kind == "i":
        mono = mono / -float(np.iinfo(samples.dtype).min)
    return mono.astype(np.float32, copy=False)
