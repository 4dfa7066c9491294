# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The synthetic corpus: real mp4 files (H.264 and AAC) of drawn faces and synthesised voices, made on the spot, free of rights.

It has the eight labels and the file names of RAVDESS, and people who differ in looks and voice, so unseen speakers are a real test. **Neither the
face nor the voice is enough, and both together are.** Some emotions share a face and some share a voice:

| alike in the face | alike in the voice |
|---|---|
| neutral, calm | neutral, disgust |
| angry, disgust | calm, sad |
| fearful, surprised | happy, surprised |
| | angry, fearful |

In `AMBIGUOUS_FACES` of the clips whose face has a double, the face shows the blend half-way between the two emotions, drawn the same for both; voices
likewise. Which clips are ambiguous is drawn independently for faces and voices. The other clips show and sound the emotion itself. No pair of
emotions stands in both columns, so whatever is ambiguous in one modality is told by the other, and an ambiguous face together with an ambiguous
voice still leaves one emotion. The best a perfect judge can do (`modality_ceiling`) is 71.9 % from faces, 65 % from voices and 100 % from both.

Make it with `python -m dataset_scripts.synthetic FOLDER --speakers 8`, or load it with `load_corpus("synthetic")`.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import datasets
import numpy as np
from tqdm import tqdm

from .base import CorpusConfig, CorpusScan, EmotionCorpusBuilder
from .synthetic_faces import EXPRESSIONS, FRAME_SIZE, Expression, draw_face, make_face_style
from .synthetic_voices import PROSODIES, SAMPLING_RATE, STATEMENTS, Prosody, Speech, make_voice_style, synthesise_voice


LABELS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
FACE_DOUBLES = (("neutral", "calm"), ("angry", "disgust"), ("fearful", "surprised"))
VOICE_DOUBLES = (("neutral", "disgust"), ("calm", "sad"), ("happy", "surprised"), ("angry", "fearful"))
AMBIGUOUS_FACES = 0.75
AMBIGUOUS_VOICES = 0.7
FRAME_RATE = 25
MAX_SPEAKERS = 99
# RAVDESS has 4 neutral takes of one speaker (no strong intensity) and 8 of each other emotion.
MAX_CLIPS_PER_SPEAKER = 60
INTENSITIES = {1: "normal", 2: "strong"}
_MANIFEST = "synthetic.json"
# Raised whenever the pictures or the sounds change, so that files of two versions never mix.
_VERSION = 1


@dataclass(frozen=True)
class Take:
    """One clip of the corpus.

    Args:
        speaker (`int`): number of the speaker, from 1; even numbers are women.
        emotion (`str`): one of `LABELS`.
        intensity (`int`): 1 normal, 2 strong.
        statement (`int`): a key of `STATEMENTS`.
        repetition (`int`): 1 or 2.
        ambiguous_face (`bool`): the face is the blend of two emotions.
        ambiguous_voice (`bool`): the voice is the blend of two emotions.
    """

    speaker: int
    emotion: str
    intensity: int
    statement: int
    repetition: int
    ambiguous_face: bool
    ambiguous_voice: bool

    @property
    def clip_id(self) -> str:
        """File name of the clip without its suffix, in the grammar of RAVDESS."""
        emotion = LABELS.index(self.emotion) + 1
        numbers = (1, 1, emotion, self.intensity, self.statement, self.repetition, self.speaker)
        return "-".join(f"{number:02d}" for number in numbers)

    @property
    def file_name(self) -> str:
        """Path of the file inside the corpus."""
        return f"Actor_{self.speaker:02d}/{self.clip_id}.mp4"


def double_of(emotion: str, modality: str) -> str | None:
    """Return the emotion that can look (`modality="face"`) or sound (`"voice"`) like this one, or `None`.

    Args:
        emotion (`str`): one of `LABELS`.
        modality (`str`): `"face"` or `"voice"`.

    Returns:
        `str` or `None`: the double.

    Raises:
        ValueError: If the emotion or the modality is unknown.
    """
    if emotion not in LABELS:
        raise ValueError(f"Expected an emotion of {LABELS}, received {emotion!r}.")
    if modality not in ("face", "voice"):
        raise ValueError(f'Expected modality "face" or "voice", received {modality!r}.')
    for pair in FACE_DOUBLES if modality == "face" else VOICE_DOUBLES:
        if emotion in pair:
            return pair[1 - pair.index(emotion)]
    return None


def modality_ceiling(modality: str) -> float:
    """Return the expected accuracy of a perfect judge of one modality, every emotion being equally frequent.

    Args:
        modality (`str`): `"face"` or `"voice"`.

    Returns:
        `float`: between 0 and 1; the judge of both modalities reaches 1.
    """
    share = AMBIGUOUS_FACES if modality == "face" else AMBIGUOUS_VOICES
    doubled = sum(double_of(emotion, modality) is not None for emotion in LABELS)
    return 1 - 0.5 * share * doubled / len(LABELS)


def plan_takes(num_speakers: int = 8, clips_per_speaker: int = 30, seed: int = 0) -> list[Take]:
    """List the clips of a corpus, each emotion as often as the others as far as RAVDESS's takes allow.

    Args:
        num_speakers (`int`, *optional*, defaults to 8): 1 to 99.
        clips_per_speaker (`int`, *optional*, defaults to 30): 1 to 60; a larger corpus contains the smaller ones of its seed.
        seed (`int`, *optional*, defaults to 0): seed of everything random.

    Returns:
        `list[Take]`: speaker by speaker.

    Raises:
        ValueError: If a number is out of range.
    """
    _check_whole("num_speakers", num_speakers, 1, MAX_SPEAKERS)
    _check_whole("clips_per_speaker", clips_per_speaker, 1, MAX_CLIPS_PER_SPEAKER)
    _check_whole("seed", seed, 0, 2**32 - 1)
    # Every round has one take of each emotion; neutral, without a strong form, runs out after four.
    rounds = [(s, i, r) for r in (1, 2) for s, i in ((1, 1), (2, 2), (1, 2), (2, 1))]
    neutral = [(1, 1, 1), (2, 1, 1), (1, 1, 2), (2, 1, 2)]
    kinds = [
        (emotion, *(neutral[number] if emotion == "neutral" else kind))
        for number, kind in enumerate(rounds)
        for emotion in LABELS
        if emotion != "neutral" or number < len(neutral)
    ]
    takes = []
    for speaker in range(1, num_speakers + 1):
        for emotion, statement, intensity, repetition in kinds[:clips_per_speaker]:
            key = [seed, 301, speaker, LABELS.index(emotion), statement, intensity, repetition]
            face, voice = np.random.default_rng(key).random(2)
            ambiguous_face = bool(face < AMBIGUOUS_FACES) and double_of(emotion, "face") is not None
            ambiguous_voice = bool(voice < AMBIGUOUS_VOICES) and double_of(emotion, "voice") is not None
            takes.append(Take(speaker, emotion, intensity, statement, repetition, ambiguous_face, ambiguous_voice))
    return takes


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"Expected {name} to be a whole number from {low} to {high}, received {value!r}.")


def _blend_weight(take: Take, modality: str, rng: np.random.Generator) -> tuple[str, str, float, bool]:
    """The two emotions that are mixed, the share of the second, and whether the intensity may show.

    Nothing here may tell the two emotions of an ambiguous clip apart, not even that only one of them has a strong form.
    """
    jitter = float(rng.uniform(-0.08, 0.08))
    ambiguous = take.ambiguous_face if modality == "face" else take.ambiguous_voice
    if not ambiguous:
        return take.emotion, take.emotion, 0.0, True
    first, second = sorted((take.emotion, double_of(take.emotion, modality)))
    return first, second, 0.5 + jitter, "neutral" not in (first, second)


def take_expression(take: Take, rng: np.random.Generator) -> Expression:
    """Return what the face of a clip does at its height.

    Args:
        take (`Take`): the clip.
        rng (`np.random.Generator`): source of the small differences between takes.

    Returns:
        `Expression`: an emotion, or the blend of two.
    """
    first, second, weight, intense = _blend_weight(take, "face", rng)
    strength = 1.05 if intense and take.intensity == 2 else 0.85
    return EXPRESSIONS[first].blended(EXPRESSIONS[second], weight).scaled(strength).jittered(rng, 0.07)


def take_prosody(take: Take, rng: np.random.Generator) -> Prosody:
    """Return how the sentence of a clip is said.

    Args:
        take (`Take`): the clip.
        rng (`np.random.Generator`): source of the small differences between takes.

    Returns:
        `Prosody`: that of an emotion, or the blend of two.
    """
    first, second, weight, intense = _blend_weight(take, "voice", rng)
    strength = 1.1 if intense and take.intensity == 2 else 0.95
    said = PROSODIES[first].blended(PROSODIES[second], weight)
    return Prosody().blended(said, strength).jittered(rng, 0.08)


def perform_take(take: Take, seed: int = 0) -> tuple[Iterator[np.ndarray], Speech]:
    """Perform one clip.

    Args:
        take (`Take`): the clip.
        seed (`int`, *optional*, defaults to 0): seed of the corpus.

    Returns:
        `tuple[Iterator[np.ndarray], Speech]`: pictures of shape `(288, 384, 3)`, uint8 RGB, 25 a second, and the sound that goes with them.
    """
    key = [seed, 302, take.speaker, LABELS.index(take.emotion), take.intensity, take.statement, take.repetition]
    face_rng, voice_rng = (np.random.default_rng([*key, stream]) for stream in (1, 2))
    speech = synthesise_voice(
        make_voice_style(take.speaker, seed), take_prosody(take, voice_rng), take.statement, voice_rng
    )
    return _perform_face(take, speech, seed, face_rng), speech


def _perform_face(take: Take, speech: Speech, seed: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    style = make_face_style(take.speaker, seed)
    apex = take_expression(take, rng)
    num_frames = int(np.ceil(speech.duration_seconds * FRAME_RATE))
    seconds = (np.arange(num_frames) + 0.5) / FRAME_RATE
    part = seconds / seconds[-1]
    onset, offset = rng.uniform(0.15, 0.25), rng.uniform(0.85, 0.95)
    # Rise, apex, fall.
    strength = np.interp(part, [0.0, onset, offset, 1.0], [0.35, 1.0, 1.0, 0.65])
    mouth = np.interp(seconds, speech.mouth_seconds, speech.mouth_open)
    blinks = rng.uniform(0, speech.duration_seconds, size=rng.integers(0, 3))
    blink = np.max(
        [np.zeros(num_frames), *(np.clip(1.3 - np.abs(seconds - at) / 0.07, 0, 1) for at in blinks)], axis=0
    )
    phases, rates = rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.4, 1.1, 4)
    swing = np.sin(2 * np.pi * rates * seconds[:, None] + phases) * (0.06, 0.035, 1.8, 0.5)
    rest = rng.normal(0, 0.03, 2)
    side = float(rng.choice([-1, 1]))
    for frame in range(num_frames):
        now = apex.scaled(float(strength[frame]))
        talk = 0.5 * float(mouth[frame]) * (1 - 0.4 * min(now.mouth_open, 1.0))
        shown = {**now.__dict__, "mouth_open": now.mouth_open + talk, "head_tilt": side * now.head_tilt}
        right, down, turned, gaze = (float(value) for value in swing[frame])
        nod = down + 0.03 * float(mouth[frame])
        sway = (float(rest[0]) + right, float(rest[1]) + nod, turned)
        yield draw_face(style, Expression(**shown), blink=float(blink[frame]), sway=sway, gaze=gaze)


def write_clip(path: str | os.PathLike, frames: Iterator[np.ndarray], waveform: np.ndarray) -> None:
    """Write pictures and sound as an mp4 file (H.264 and AAC), which appears only when it is complete.

    Args:
        path (`str` or `os.PathLike`): the file.
        frames (`Iterator[np.ndarray]`): pictures of shape `(288, 384, 3)`, uint8 RGB, 25 a second.
        waveform (`np.ndarray`): mono sound of shape `(samples,)` in [-1, 1] at 44.1 kHz; cut or padded to the length of the pictures.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The number of the process keeps two programs that make the same corpus out of each other's way.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(str(part), "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", "crf": "21"})
            video.width, video.height = FRAME_SIZE
            video.pix_fmt = "yuv420p"
            # With one thread the same pictures give the same bytes.
            video.codec_context.thread_count = 1
            audio = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
            audio.bit_rate = 96_000
            num_frames = 0
            for picture in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
                num_frames += 1
            container.mux(video.encode())
            num_samples = num_frames * SAMPLING_RATE // FRAME_RATE
            sound = np.zeros(num_samples, dtype=np.float32)
            sound[: min(len(waveform), num_samples)] = waveform[:num_samples]
            for start in range(0, num_samples, 1024):
                block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts = SAMPLING_RATE, start
                container.mux(audio.encode(block))
            container.mux(audio.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def is_complete(path: str | os.PathLike) -> bool:
    """Return whether a file is an mp4 with all of its picture and sound.

    Args:
        path (`str` or `os.PathLike`): the file.

    Returns:
        `bool`: `False` also for a file that is missing, cut short or something else.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or not container.streams.audio:
                return False
            expected = {stream.index: stream.frames for stream in container.streams}
            counts = dict.fromkeys(expected, 0)
            for packet in container.demux():
                counts[packet.stream_index] += packet.size > 0
            return all(0 < expected[index] <= counts[index] for index in expected)
    except (av.FFmpegError, OSError, ValueError):
        return False


def _make_clip(folder: str, take: Take, seed: int) -> str:
    frames, speech = perform_take(take, seed)
    write_clip(Path(folder) / take.file_name, frames, speech.waveform)
    return take.clip_id


def _claim_folder(folder: Path, seed: int) -> None:
    """Make the folder this corpus's own, or refuse it."""
    manifest = {"corpus": "synthetic", "version": _VERSION, "seed": int(seed), "license": "CC0-1.0"}
    path = folder / _MANIFEST
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"Expected a folder for the synthetic corpus, but {folder} is a file. Give another path."
        )
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error}). Delete the folder, or give another one.") from None
        if found != manifest:
            raise ValueError(
                f"{folder} holds another synthetic corpus: expected {manifest}, found {found}. Give another folder."
            )
        return
    if any(folder.glob("**/*.mp4")):
        raise ValueError(
            f"{folder} holds mp4 files that are not of the synthetic corpus (no {_MANIFEST}). Give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{_MANIFEST}.{os.getpid()}.part"
    part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def make_synthetic_corpus(
    out_dir: str | os.PathLike,
    num_speakers: int = 8,
    clips_per_speaker: int = 30,
    seed: int = 0,
    num_proc: int | None = None,
) -> Path:
    """Make the files of the synthetic corpus; files that are there and whole are kept.

    Args:
        out_dir (`str` or `os.PathLike`): folder of the corpus.
        num_speakers (`int`, *optional*, defaults to 8): 1 to 99.
        clips_per_speaker (`int`, *optional*, defaults to 30): 1 to 60.
        seed (`int`, *optional*, defaults to 0): the same seed gives the same files.
        num_proc (`int`, *optional*, defaults to `None`): processes; `None` takes one per core.

    Returns:
        `Path`: the folder.

    Raises:
        ValueError: If a number is out of range, or if the folder holds another corpus.
        NotADirectoryError: If `out_dir` is a file.
    """
    takes = plan_takes(num_speakers, clips_per_speaker, seed)
    if num_proc is not None:
        _check_whole("num_proc", num_proc, 1, 1024)
    folder = Path(out_dir).expanduser().absolute()
    _claim_folder(folder, seed)
    missing = [take for take in takes if not is_complete(folder / take.file_name)]
    if not missing:
        return folder
    num_proc = min(num_proc or os.cpu_count() or 1, len(missing))
    bar = tqdm(total=len(missing), desc="Making the synthetic corpus", unit="clip", disable=None)
    # Forked workers would wait for OpenCV's threads, which only the parent has.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if num_proc == 1:
            for take in missing:
                _make_clip(str(folder), take, seed)
                bar.update()
            return folder
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(num_proc, mp_context=context) as pool:
            jobs = [pool.submit(_make_clip, str(folder), take, seed) for take in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(threads)
        bar.close()
    return folder


@dataclass
class SyntheticConfig(CorpusConfig):
    """Options of the synthetic corpus, those of `make_synthetic_corpus`."""

    num_speakers: int = 8
    clips_per_speaker: int = 30
    seed: int = 0


class Synthetic(EmotionCorpusBuilder):
    """Drawn faces and synthesised voices with eight emotions that only both modalities together tell surely.

    The files are made in `data_dir` where they are missing; without `data_dir`, in the cache of `datasets`.
    """

    BUILDER_CONFIG_CLASS = SyntheticConfig
    NAME = "synthetic"
    LABELS = LABELS
    LICENSE = "CC0-1.0"
    EXPECTED = "the synthetic corpus"
    HOW_TO_GET = "It is made on the spot; give a folder that can be written to."
    NUM_FOLDS = 4

    def scan(self, config: SyntheticConfig) -> CorpusScan:
        folder = (
            config.data_dir
            or Path(datasets.config.HF_DATASETS_CACHE) / f"tacfn-synthetic-v{_VERSION}-seed{config.seed}"
        )
        folder = make_synthetic_corpus(folder, config.num_speakers, config.clips_per_speaker, config.seed)
        found = CorpusScan()
        for take in plan_takes(config.num_speakers, config.clips_per_speaker, config.seed):
            path = folder / take.file_name
            found.files.append(path)
            found.rows.append(
                {
                    "clip_id": take.clip_id,
                    "video": str(path),
                    "label": take.emotion,
                    "label_raw": take.clip_id[6:8],
                    "intensity": INTENSITIES[take.intensity],
                    "speaker_id": f"{take.speaker:02d}",
                    "utterance_group": take.clip_id[3:],
                    "gender": "male" if take.speaker % 2 else "female",
                    "text": STATEMENTS[take.statement][0],
                }
            )
        return found


def main(arguments: list[str] | None = None) -> None:
    """Make the corpus from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.synthetic",
        description="Make the synthetic corpus: mp4 files of drawn faces and synthesised voices. Run again to go on where it stopped.",
        epilog="example: python -m dataset_scripts.synthetic synthetic_corpus --speakers 8 --clips 30",
    )
    parser.add_argument("out_dir", help="folder of the corpus")
    parser.add_argument("--speakers", type=int, default=8, help="number of speakers, 1 to 99 (default: 8)")
    parser.add_argument("--clips", type=int, default=30, help="clips of each speaker, 1 to 60 (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (default: 0)")
    parser.add_argument("--num-proc", type=int, default=None, help="processes (default: one per core)")
    options = parser.parse_args(arguments)
    try:
        folder = make_synthetic_corpus(
            options.out_dir, options.speakers, options.clips, options.seed, options.num_proc
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.speakers * options.clips} clips of {options.speakers} speakers in {folder}")


if __name__ == "__main__":
    main()
