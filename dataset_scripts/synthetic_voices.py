# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Synthesises the voices of the synthetic corpus: a speaker (`VoiceStyle`), how it is said (`Prosody`), one sentence (`synthesise_voice`).

Source and filter: a train of glottal pulses and breath noise, shaped by five formants that glide from vowel to vowel, with bursts and hisses for
the consonants. The same syllables open the mouth of the drawn face.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from scipy.signal import lfilter, sosfilt


SAMPLING_RATE = 44100
_BLOCK = 220  # samples for which the formants stand still: 5 ms
_FORMANT_BANDWIDTHS = (80.0, 100.0, 140.0, 220.0, 300.0)

# First three formants of an average man, and how far the jaw drops.
_VOWELS = {
    "i": (390.0, 1990.0, 2550.0, 0.45),
    "a": (700.0, 1180.0, 2450.0, 1.0),
    "o": (570.0, 860.0, 2410.0, 0.8),
    "y": (640.0, 1500.0, 2500.0, 0.85),
    "e": (500.0, 1450.0, 2480.0, 0.4),
}
# Noise of the consonant: centre in Hz, level relative to the vowel, seconds.
_CONSONANTS = {
    "": (1000.0, 0.0, 0.03),
    "k": (1900.0, 0.5, 0.04),
    "t": (4200.0, 0.55, 0.04),
    "s": (6200.0, 0.5, 0.09),
    "z": (5600.0, 0.25, 0.08),
    "d": (3300.0, 0.3, 0.03),
    "b": (700.0, 0.3, 0.03),
    "g": (1500.0, 0.25, 0.03),
    "dh": (3000.0, 0.08, 0.03),
}
# The two sentences, as (onset, vowel, coda); the words are those of RAVDESS, one syllable each.
STATEMENTS: dict[int, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    1: ("Kids talk by the door", (("k", "i", "z"), ("t", "o", "k"), ("b", "y", ""), ("dh", "e", ""), ("d", "o", ""))),
    2: ("Dogs sit by the door", (("d", "o", "z"), ("s", "i", "t"), ("b", "y", ""), ("dh", "e", ""), ("d", "o", ""))),
}


@dataclass(frozen=True)
class Prosody:
    """How a sentence is said.

    Args:
        pitch (`float`): level of the pitch above the speaker's own, in semitones.
        pitch_range (`float`): movement of the pitch within a syllable, in semitones.
        pitch_slope (`float`): change of the pitch from the first to the last syllable, in semitones.
        level (`float`): loudness relative to the speaker's own, in dB.
        level_slope (`float`): change of the loudness from the first to the last syllable, in dB.
        tempo (`float`): syllables per second, as a factor.
        tilt (`float`): brightness of the voice: high partials raised (positive) or damped, in dB at 4 kHz.
        breath (`float`): share of breath noise, 0 to 1.
        tremor (`float`): shaking of pitch and loudness at 9 Hz, 0 to 1.
        rough (`float`): irregular, pressed pulses, 0 to 1.
        formants (`float`): formants raised by spread lips (positive) or lowered, as a fraction.
        legato (`float`): syllables run together (1) or cut short (0).
    """

    pitch: float = 0.0
    pitch_range: float = 2.0
    pitch_slope: float = -2.0
    level: float = 0.0
    level_slope: float = -3.0
    tempo: float = 1.0
    tilt: float = 0.0
    breath: float = 0.05
    tremor: float = 0.0
    rough: float = 0.0
    formants: float = 0.0
    legato: float = 0.5

    def blended(self, other: "Prosody", weight: float) -> "Prosody":
        """Return the prosody that is `weight` of the way from this one to `other`; beyond 1 it overshoots."""
        mixed = [(1 - weight) * a + weight * b for a, b in zip(astuple(self), astuple(other), strict=True)]
        return Prosody(*mixed)

    def jittered(self, rng: np.random.Generator, amount: float) -> "Prosody":
        """Return the prosody with every departure from the resting voice scaled by its own random factor."""
        rest = astuple(Prosody())
        factors = 1 + amount * np.clip(rng.standard_normal(len(fields(self))), -2, 2)
        return Prosody(*(float(r + f * (v - r)) for f, v, r in zip(factors, astuple(self), rest, strict=True)))


PROSODIES: dict[str, Prosody] = {
    "neutral": Prosody(),
    "calm": Prosody(-1.0, 1.2, -1.5, -9.0, -1.0, 0.84, -7.0, 0.4, 0.0, 0.0, -0.03, 0.95),
    "happy": Prosody(5.0, 6.0, 0.0, 4.0, 0.0, 1.12, 5.0, 0.05, 0.0, 0.0, 0.12, 0.35),
    "sad": Prosody(-0.5, 1.0, -5.0, -15.0, -9.0, 0.72, -11.0, 0.22, 0.35, 0.0, -0.07, 0.9),
    "angry": Prosody(3.0, 4.0, -4.0, 11.0, 0.0, 1.08, 11.0, 0.0, 0.0, 0.9, 0.05, 0.05),
    "fearful": Prosody(7.0, 1.5, 2.0, 6.0, 0.0, 1.34, 8.0, 0.22, 1.0, 0.25, 0.03, 0.6),
    "disgust": Prosody(-3.5, 3.0, -5.0, -1.0, -10.0, 0.8, -4.0, 0.08, 0.0, 0.75, -0.12, 0.5),
    "surprised": Prosody(6.0, 3.0, 10.0, 2.0, 9.0, 0.98, 3.0, 0.3, 0.0, 0.0, -0.04, 0.6),
}


@dataclass(frozen=True)
class VoiceStyle:
    """One person's voice.

    Args:
        pitch_hz (`float`): resting pitch in Hz.
        tract (`float`): formants relative to an average man's; a shorter vocal tract is above 1.
        tempo (`float`): syllables per second.
        level (`float`): habitual loudness in dB relative to full scale (root mean square).
        tilt (`float`): habitual brightness in dB at 4 kHz.
        breath (`float`): habitual breathiness, 0 to 1.
        hum (`float`): noise of the room in dB relative to full scale.
    """

    pitch_hz: float
    tract: float
    tempo: float
    level: float
    tilt: float
    breath: float
    hum: float


@dataclass(frozen=True)
class Speech:
    """A sentence as sound, and the mouth that goes with it.

    Args:
        waveform (`np.ndarray`): mono sound of shape `(samples,)`, float32 in [-1, 1], at `SAMPLING_RATE`.
        mouth_seconds (`np.ndarray`): times of the points of `mouth_open`, in seconds.
        mouth_open (`np.ndarray`): opening of the mouth at those times, 0 to 1.
    """

    waveform: np.ndarray
    mouth_seconds: np.ndarray
    mouth_open: np.ndarray

    @property
    def duration_seconds(self) -> float:
        return len(self.waveform) / SAMPLING_RATE


def make_voice_style(speaker: int, seed: int = 0) -> VoiceStyle:
    """Make the voice of speaker number `speaker` (from 1); even numbers are women, as in RAVDESS.

    Args:
        speaker (`int`): number of the speaker, from 1.
        seed (`int`, *optional*, defaults to 0): seed of the corpus.

    Returns:
        `VoiceStyle`: the same for the same arguments.
    """
    rng = np.random.default_rng([seed, 201, speaker])
    feminine = speaker % 2 == 0
    return VoiceStyle(
        pitch_hz=float(rng.uniform(180, 235) if feminine else rng.uniform(90, 135)),
        tract=float(rng.uniform(1.1, 1.22) if feminine else rng.uniform(0.94, 1.06)),
        tempo=float(rng.uniform(3.8, 4.4)),
        level=float(rng.uniform(-29, -25)),
        tilt=float(rng.uniform(-1.5, 1.5)),
        breath=float(rng.uniform(0.0, 0.06)),
        hum=float(rng.uniform(-72, -64)),
    )


def _resonators(frequencies: np.ndarray) -> np.ndarray:
    """Second-order sections of one block's formants, each with unit gain at 0 Hz."""
    sections = np.zeros((len(frequencies), 6))
    radius = np.exp(-np.pi * np.asarray(_FORMANT_BANDWIDTHS) / SAMPLING_RATE)
    sections[:, 3] = 1
    sections[:, 4] = -2 * radius * np.cos(2 * np.pi * np.minimum(frequencies, 0.45 * SAMPLING_RATE) / SAMPLING_RATE)
    sections[:, 5] = radius**2
    sections[:, 0] = sections[:, 3:].sum(axis=1)
    return sections


def _noise_band(noise: np.ndarray, centre: float) -> np.ndarray:
    """Band-pass noise about a centre frequency, at unit power."""
    angle = 2 * np.pi * centre / SAMPLING_RATE
    width = np.sin(angle) / 3
    band = lfilter([width, 0, -width], [1 + width, -2 * np.cos(angle), 1 - width], noise)
    return band / (band.std() + 1e-9)


def _brighten(sound: np.ndarray, gain_db: float) -> np.ndarray:
    """High shelf from about 1.2 kHz: the spectral tilt of effort."""
    pole = np.exp(-2 * np.pi * 1200 / SAMPLING_RATE)
    low = lfilter([1 - pole], [1, -pole], sound)
    return low + 10 ** (gain_db / 20) * (sound - low)


def synthesise_voice(
    style: VoiceStyle, prosody: Prosody, statement: int = 1, rng: np.random.Generator | None = None
) -> Speech:
    """Say one of the two sentences.

    Args:
        style (`VoiceStyle`): the speaker.
        prosody (`Prosody`): how it is said.
        statement (`int`, *optional*, defaults to 1): a key of `STATEMENTS`.
        rng (`np.random.Generator`, *optional*, defaults to `None`): source of noise and of small irregularities; `None` is seed 0.

    Returns:
        `Speech`: the sound, with a short silence on both sides, and the opening of the mouth.

    Raises:
        ValueError: If the statement is not one of `STATEMENTS`.
    """
    if statement not in STATEMENTS:
        raise ValueError(f"Expected statement to be one of {sorted(STATEMENTS)}, received {statement!r}.")
    rng = np.random.default_rng(0) if rng is None else rng
    syllables = STATEMENTS[statement][1]
    lengths = (
        np.array([1.0, 1.0, 0.95, 0.7, 1.25])
        * (1 + 0.05 * rng.standard_normal(5).clip(-2, 2))
        / (style.tempo * prosody.tempo)
    )
    lead, tail = rng.uniform(0.12, 0.2, size=2)
    starts = lead + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    total = int(round((lead + lengths.sum() + tail) * SAMPLING_RATE))
    seconds = np.arange(total) / SAMPLING_RATE

    # Per 5 ms block: where the formants are, how loud the voice is, how high, how open the mouth.
    num_blocks = -(-total // _BLOCK)
    times = (np.arange(num_blocks) + 0.5) * _BLOCK / SAMPLING_RATE
    centres = starts + 0.55 * lengths
    vowels = np.array([_VOWELS[vowel] for _, vowel, _ in syllables])
    formants = np.stack(
        [np.interp(times, centres, vowels[:, i]) for i in range(3)]
        + [np.full(num_blocks, f) for f in (3400.0, 4400.0)]
    )
    formants *= style.tract * (1 + prosody.formants)
    voiced, mouth, bend = np.zeros(num_blocks), np.zeros(num_blocks), np.zeros(num_blocks)
    consonants = np.zeros(total)
    progress = np.linspace(0, 1, len(syllables))
    for index, (onset, _, coda) in enumerate(syllables):
        begin = starts[index] + _CONSONANTS[onset][2]
        hold = lengths[index] * (0.58 + 0.42 * prosody.legato) - _CONSONANTS[onset][2] - 0.3 * _CONSONANTS[coda][2]
        phase = np.clip((times - begin) / hold, 0, 1)
        hump = np.sin(np.pi * phase) ** (0.45 if prosody.legato < 0.3 else 0.6)
        loud = 10 ** (prosody.level_slope * (progress[index] - 0.5) / 20)
        voiced = np.maximum(voiced, loud * hump)
        mouth = np.maximum(mouth, vowels[index, 3] * np.sin(np.pi * phase) ** 0.8)
        bend += np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) - 0.5, 0)
        for consonant, at in ((onset, starts[index]), (coda, begin + hold)):
            centre, level, length = _CONSONANTS[consonant]
            first, count = int(at * SAMPLING_RATE), int(length * SAMPLING_RATE)
            count = min(count, total - first)
            if level and count > 0:
                burst = _noise_band(rng.standard_normal(count + 400), centre * style.tract)[400:]
                consonants[first : first + count] += loud * level * burst * np.sin(np.pi * np.arange(count) / count)

    tremor = np.sin(2 * np.pi * (9 * seconds + rng.random()))
    spoken = np.clip((seconds - starts[0]) / (starts[-1] + lengths[-1] - starts[0]), 0, 1)
    semitones = (
        prosody.pitch + prosody.pitch_slope * (spoken - 0.4) + prosody.pitch_range * np.interp(seconds, times, bend)
    )
    semitones += 0.7 * prosody.tremor * tremor
    wander = lfilter([0.002], [1, -0.998], rng.standard_normal(total))
    pitch = style.pitch_hz * 2 ** ((semitones + 4 * wander) / 12)
    turns = np.cumsum(pitch) / SAMPLING_RATE
    cycle = turns.astype(np.int64)
    # Rosenberg's pulse, differentiated: a pressed voice closes faster; a rough one has cycles of unequal strength.
    open_part = 0.62 - 0.2 * min(prosody.rough, 1.0)
    position = (turns - cycle) / open_part
    flow = np.where(position < 1, 2 * position - 3 * position**2, 0.0)
    shimmer = 1 + prosody.rough * (
        0.35 * rng.standard_normal(cycle[-1] + 1).clip(-2, 2) - 0.3 * (np.arange(cycle[-1] + 1) % 2)
    )
    source = flow * shimmer[cycle]
    breath = np.clip(prosody.breath + style.breath, 0, 1)
    aspiration = _noise_band(rng.standard_normal(total), 3000.0) * (0.4 + 0.6 * (position < 1))
    source = (1 - 0.7 * breath) * source / source.std() + 0.9 * breath * aspiration

    envelope = np.interp(seconds, times, voiced) * (1 + 0.5 * prosody.tremor * tremor)
    driven = source * envelope
    state = np.zeros((len(_FORMANT_BANDWIDTHS), 2))
    voice = np.empty(total)
    for block in range(num_blocks):
        part = np.s_[block * _BLOCK : (block + 1) * _BLOCK]
        voice[part], state = sosfilt(_resonators(formants[:, block]), driven[part], zi=state)
    voice = _brighten(voice / (voice.std() + 1e-9), 4.0 + style.tilt + prosody.tilt)
    sound = voice / voice.std() + 0.5 * consonants
    loudness = 10 ** ((style.level + prosody.level) / 20)
    sound = np.tanh(1.5 * loudness * sound / sound.std()) / 1.5
    room = lfilter([0.3], [1, -0.7], rng.standard_normal(total)) * 10 ** (style.hum / 20)
    return Speech((sound + room).astype(np.float32), times, np.clip(mouth, 0, 1))
