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
"""First pass over a media file: packets without decoding, to learn its tracks, its span and when frames are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


MAX_CLIP_BYTES = 4 * 1024**3
# Only real containers: playlists (hls, concat, dash) would let a file open other files, text and images are no clips.
CONTAINERS = (
    "mov,mp4,m4a,3gp,matroska,webm,flv,avi,mpeg,mpegts,asf,ogg,wav,w64,flac,mp3,aac,aiff,au,caf,amr,ac3,dv,mxf"
)
# Formats whose header announces a duration; elsewhere it is an estimate from the bit rate.
CONTAINERS_WITH_DURATION = ("mov", "matroska", "flv", "avi")
# Sound packets are stored beside pictures of about the same time, and some codecs need the packet before.
SEEK_MARGIN_SECONDS = 0.5
# One broken time stamp must not turn a short clip into days of silence.
MAX_JUMP_SECONDS = 3600


class MediaError(ValueError):
    """A media file cannot be read; the message holds its path, what was expected, what came, and a remedy."""


class NoVideoError(MediaError):
    """Pictures were asked for and the file has none."""


class NoAudioError(MediaError):
    """Sound was asked for and the file has none."""


@dataclass
class Packet:
    seconds: float  # presentation time, counted from the start of the recording
    duration: float  # 0 where the container does not say
    stamp: int  # names the packet when the file is read again
    is_keyframe: bool


@dataclass
class Span:
    """What the first pass over a file learns."""

    video: int | None  # stream index
    audio: int | None
    zero: float  # presentation time of the start of the recording
    start: float
    end: float
    entry_seconds: float | None  # where to enter the file; None = at its beginning
    video_packets: list[Packet]
    reached_seconds: float
    announced_seconds: float | None  # only if the file is shorter than its header says


def open_container(av, path: str):
    # Tags in another encoding than UTF-8 are no reason to refuse a recording.
    return av.open(
        path, metadata_errors="replace", options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    )


def stamp_of(packet) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def scan(av, path: str, with_video: bool, with_audio: bool, start: float, end: float | None) -> Span:
    """Learn from the packets, without decoding, which tracks there are, what they cover and when frames are shown."""
    entry = start - SEEK_MARGIN_SECONDS if start > SEEK_MARGIN_SECONDS else None
    tracks, zero, announced, packets = _scan_from(av, path, entry, end)
    main = next((index for index in tracks if index is not None), None)
    if entry is not None and not _leads_to(packets[main], start):
        entry = None
        tracks, zero, announced, packets = _scan_from(av, path, entry, end)
    video, audio = (index if index is not None and packets[index] else None for index in tracks)
    if video is None and audio is None:
        raise MediaError(f"{path}: expected pictures or sound, but no track of it can be read; get another copy.")
    if video is None and not with_audio:
        raise NoVideoError(f"{path}: expected pictures, but it only has sound; give a video file.")
    if audio is None and not with_video:
        raise NoAudioError(
            f"{path}: expected sound, but it has no sound track, or none in this window; give a file with sound."
        )

    reached = max(end_of(path, p, end) for p in packets.values() if p)
    last = end_of(path, packets[audio if video is None else video], end)
    if video is not None and len(packets[video]) == 1 and start == 0:
        last = reached  # a still picture lasts as long as its sound
    if start >= last:
        raise outside(path, start, last)
    short = is_cut_short(reached, announced)
    if end is not None and end <= last:
        short, last = False, end
    return Span(video, audio, zero, start, last, entry, packets[video], reached, announced if short else None)


def _leads_to(packets: list[Packet], start: float) -> bool:
    """Whether seeking came out at a keyframe before the window; containers without an index may miss it."""
    return bool(packets) and packets[0].is_keyframe and packets[0].seconds <= start


def _scan_from(av, path: str, entry: float | None, end: float | None):
    with open_container(av, path) as container:
        # The video is scanned even when only the sound is wanted: it defines the span.
        video, audio, zero = tracks_of(av, container)
        streams = [stream for stream in (video, audio) if stream is not None]
        tracks = [stream if stream is None else stream.index for stream in (video, audio)]
        packets = _demux(av, container, streams, zero, entry, end)
        return tracks, zero, announced_seconds(container, streams, zero), packets


def tracks_of(av, container) -> tuple:
    """The streams of the pictures and of the sound, `None` where there is none, and the presentation time of the start."""
    attached = av.stream.Disposition.attached_pic  # cover art of a song is not a video
    pictures = [s for s in container.streams.video if s.codec_context and not s.disposition & attached]
    sounds = [s for s in container.streams.audio if s.codec_context]
    starts = (s.start_time * s.time_base for s in pictures[:1] + sounds[:1] if s.start_time is not None)
    return next(iter(pictures), None), next(iter(sounds), None), float(next(starts, 0.0))


def _demux(av, container, streams, zero: float, entry: float | None, end: float | None) -> dict[int | None, list]:
    packets = {None: []} | {stream.index: [] for stream in streams}
    if not streams:
        return packets
    waiting = {stream.index for stream in streams}
    try:
        if entry is not None:
            container.seek(round((entry + zero) * 1e6))
        for packet in container.demux(streams):
            if stamp_of(packet) is None or packet.is_discard:
                continue
            index, base = packet.stream.index, float(packet.time_base)
            seconds = stamp_of(packet) * base - zero
            packets[index].append(Packet(seconds, (packet.duration or 0) * base, stamp_of(packet), packet.is_keyframe))
            # Decoding times only grow, and no frame is shown before it is decoded.
            decoded = (packet.dts if packet.dts is not None else packet.pts) * base - zero
            if end is not None and decoded >= end:
                waiting.discard(index)
                if not waiting or decoded > end + 10:
                    break
    except (av.FFmpegError, IndexError):
        # A file that was cut short ends here, or PyAV meets a track that was not there at first; what came is good.
        pass
    return packets


def end_of(path: str, packets: Sequence[Packet], end: float | None = None) -> float:
    """When the last of some packets is over; those after `end` may be anywhere."""
    last = max(packets, key=lambda packet: packet.seconds)
    seconds = np.unique([packet.seconds for packet in packets])
    gaps = np.diff(seconds)
    jump = max(np.diff(np.minimum(seconds, end or np.inf)).max(initial=0.0), last.duration)
    check_jump(path, jump)
    if not len(gaps):
        return last.seconds + (last.duration or 0.04)
    # Some containers give no duration, or one tick of their clock, where a frame is shown until the next one.
    return last.seconds + (last.duration if last.duration > gaps.min() / 2 else float(np.median(gaps)))


def check_jump(path: str, jump: float) -> None:
    """Refuse time stamps that leap ahead by `jump` seconds."""
    if jump > MAX_JUMP_SECONDS:
        raise MediaError(
            f"{path}: expected time stamps that go on, but they jump by {jump:.0f} s, so the file is damaged; "
            f"write it anew with `ffmpeg -i <in> <out>.mp4`, or choose a window before the jump."
        )


def is_cut_short(reached: float, announced: float | None) -> bool:
    """Whether a file ends long before what its header announces."""
    return announced is not None and reached < announced - max(0.5, 0.02 * announced)


def announced_seconds(container, streams, zero: float) -> float | None:
    """Length of the recording as the header has it; `None` where a header holds none."""
    if not container.format.name.startswith(CONTAINERS_WITH_DURATION):
        return None
    lengths = [float((s.duration + (s.start_time or 0)) * s.time_base) for s in streams if s.duration]
    if not lengths and container.duration:
        # Matroska counts its duration from time 0, whenever the first packet comes.
        start = 0 if container.format.name.startswith("matroska") else container.start_time or 0
        lengths = [(container.duration + start) / 1e6]
    return max(lengths) - zero if lengths else None


def unreadable(path: str, error) -> MediaError:
    return MediaError(
        f"{path}: expected an audio or video file, but it cannot be opened ({error.strerror or error}). It is cut "
        f"short, damaged, or not media at all; copy it again or convert it with `ffmpeg -i <in> <out>.mp4`."
    )


def outside(path: str, start: float, length: float) -> MediaError:
    return MediaError(
        f"{path}: the window starts at {start:.3f} s, but the recording lasts {length:.3f} s; "
        f"choose start_seconds below that."
    )


def check_bytes(path: str, num_bytes: float, what: str):
    if num_bytes > MAX_CLIP_BYTES:
        raise MediaError(
            f"{path}: {what} would take {num_bytes / 1024**3:.1f} GiB of memory, at most {MAX_CLIP_BYTES / 1024**3:g} "
            f"are allowed; read it in parts with start_seconds and end_seconds, or ask for fewer frames."
        )
