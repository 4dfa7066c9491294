# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What is performed in each clip of the synthetic corpus: who, which emotion, and which modality is ambiguous."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .synthetic_drawing import draw_face
from .synthetic_faces import EXPRESSIONS, Expression, make_face_style
from .synthetic_voices import PROSODIES, Prosody, Speech, make_voice_style, synthesise_voice


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
    check_whole("num_speakers", num_speakers, 1, MAX_SPEAKERS)
    check_whole("clips_per_speaker", clips_per_speaker, 1, MAX_CLIPS_PER_SPEAKER)
    check_whole("seed", seed, 0, 2**32 - 1)
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


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """Raise a `ValueError` unless the value is a whole number from `low` to `high`."""
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
    strength = 1.1 if intense and take.intensity == 2 else 0.9
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
        talk = 0.4 * float(mouth[frame]) * (1 - 0.4 * min(now.mouth_open, 1.0))
        shown = {**now.__dict__, "mouth_open": now.mouth_open + talk, "head_tilt": side * now.head_tilt}
        right, down, turned, gaze = (float(value) for value in swing[frame])
        nod = down + 0.03 * float(mouth[frame])
        sway = (float(rest[0]) + right, float(rest[1]) + nod, turned)
        yield draw_face(style, Expression(**shown), blink=float(blink[frame]), sway=sway, gaze=gaze)
