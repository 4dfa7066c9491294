"""Small media files made on the spot: numbered frames, clicks and tones in any container, and drawn faces."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile


class Pipe:
    """A file object that can only be written forwards, as a browser's recorder does."""

    def __init__(self, path):
        self.file = open(path, "wb")  # noqa: SIM115

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()


def numbered_frames(num_frames: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Frames that carry their own number as eight black or white columns, readable after lossy coding."""
    bits = (np.arange(num_frames)[:, None] >> np.arange(8)) & 1
    columns = np.arange(width) * 8 // width
    row = (bits[:, columns] * 255).astype(np.uint8)
    return np.broadcast_to(row[:, None, :, None], (num_frames, height, width, 3)).copy()


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Read the numbers that `numbered_frames` wrote."""
    width = frames.shape[2]
    centres = (np.arange(8) * 2 + 1) * width // 16
    bits = frames.mean(axis=(1, 3))[:, centres] > 127
    return [int(number) for number in (bits << np.arange(8)).sum(axis=1)]


def tone(seconds: float, rate: int = 16000, frequency: float = 440.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def bursts(seconds: float, at: list[float], rate: int = 16000) -> np.ndarray:
    """Silence with a 20 ms burst of a tone at each of the given times."""
    waveform = np.zeros(round(seconds * rate), np.float32)
    burst = tone(0.02, rate, 1000, 0.8)
    for start in at:
        first = round(start * rate)
        waveform[first : first + len(burst)] = burst[: len(waveform) - first]
    return waveform


def write_mp4(
    path,
    frames: np.ndarray | None = None,
    waveform: np.ndarray | None = None,
    rate: int = 16000,
    fps: float = 25,
    codec: str = "libx264",
    audio_codec: str = "aac",
    *,
    seconds: list[float] | None = None,
    codec_options: dict | None = None,
    container_options: dict | None = None,
    format: str | None = None,
    pipe: bool = False,
) -> Path:
    """Write frames `(T, H, W, 3)` and a mono waveform to any container the name (or `format`) tells.

    `seconds` gives each frame its own time (variable frame rate); `pipe` writes without seeking, so that the header
    holds neither duration nor index.
    """
    path = Path(path)
    target = Pipe(path) if pipe else str(path)
    with av.open(target, "w", format=format, options=container_options or {}) as container:
        packets = []
        if frames is not None:
            video = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            height, width = frames.shape[1:3]
            video.width, video.height = width, height
            video.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
            if codec == "libx264":
                video.options = {"preset": "ultrafast", "crf": "18"} | (codec_options or {})
            else:
                video.options = codec_options or {}
            video.codec_context.time_base = Fraction(1, 12800)
        if waveform is not None:
            audio = container.add_stream(audio_codec, rate=rate, layout="mono")
        if frames is not None:
            times = np.arange(len(frames)) / float(fps) if seconds is None else seconds
            for image, time in zip(frames, times, strict=True):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = round(time * 12800), Fraction(1, 12800)
                packets += video.encode(frame)
            packets += video.encode(None)
        if waveform is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform[None], np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(audio.codec_context.format.name, "mono", rate, audio.frame_size or None)
            for piece in resampler.resample(frame) + resampler.resample(None):
                packets += audio.encode(piece)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    if pipe:
        target.close()
    return path


def write_sound(path, waveform: np.ndarray, rate: int = 16000, subtype: str | None = None) -> Path:
    """Write wav or flac; `waveform` is `(n,)` or `(n, channels)`."""
    soundfile.write(str(path), waveform, rate, subtype=subtype)
    return Path(path)


def rotate_mp4(path, degrees: int) -> Path:
    """Put a clockwise rotation of the picture into the track header of an mp4, as phones do."""
    path = Path(path)
    data = bytearray(path.read_bytes())
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    header = data.index(b"tkhd")
    matrix = header + 4 + 40  # version 0: times, id and duration 24 bytes, then layer, group, volume
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = np.array(values, ">i4").tobytes()
    path.write_bytes(data)
    return path


def draw_face(height: int, width: int, centre: tuple[float, float], face_height: float) -> np.ndarray:
    """A frontal face that OpenCV's Haar cascade finds, on a plain wall; `centre` is (x, y) in pixels."""
    image = np.full((height, width, 3), (96, 112, 128), np.uint8)

    def ellipse(dx, dy, w, h, colour):
        axes = (max(1, round(w * face_height / 2)), max(1, round(h * face_height / 2)))
        middle = (round(centre[0] + dx * face_height), round(centre[1] + dy * face_height))
        cv2.ellipse(image, middle, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    ellipse(0, -0.10, 0.86, 1.02, (50, 34, 24))
    ellipse(0, 0, 0.74, 1.0, (224, 178, 150))
    for side in (-1, 1):
        ellipse(side * 0.17, -0.10, 0.22, 0.15, (176, 130, 108))
        ellipse(side * 0.17, -0.175, 0.21, 0.035, (60, 40, 30))
        ellipse(side * 0.17, -0.09, 0.15, 0.07, (245, 245, 245))
        ellipse(side * 0.17, -0.09, 0.065, 0.065, (40, 30, 30))
        ellipse(side * 0.05, 0.13, 0.035, 0.025, (150, 100, 85))
    ellipse(0, 0.03, 0.07, 0.22, (234, 192, 166))
    ellipse(0, 0.27, 0.26, 0.07, (170, 70, 70))
    return cv2.GaussianBlur(image, (0, 0), max(0.6, face_height / 120))
