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
"""
Prosody of a clip in 39 numbers: pitch, voicing, loudness, rhythm and the balance of the spectrum.

Ours, in the spirit of the GeMAPS set (Eyben et al. 2016): what a convolution over 64 mel bands hardly sees from a thousand
clips, the pitch above all. Pitch is the highest peak of the autocorrelation divided by that of the window (Boersma 1993).
"""

import math

import numpy as np
from scipy import fft


WINDOW_SECONDS = 0.04
HOP_SECONDS = 0.01
LOWEST_PITCH, HIGHEST_PITCH = 60.0, 500.0  # Hz
PITCH_REFERENCE = 55.0  # Hz, semitone 0
# Of two peaks that are nearly as high, the shorter period is the period.
OCTAVE_COST = 0.01
FINEST_LAGS = 32000  # per s
PITCH_MEDIAN = 5  # steps
VOICED = 0.45
# Frames this far below the loudest (dB) are the silence around the words.
ACTIVE_RANGE = 35.0
FEWEST_VOICED_FRAMES = 6
SHORTEST_VOICED_SECONDS = 0.03
LOWEST_RATE = 4000  # Hz
BLOCK = 2000  # steps at once, which bounds the memory for a long recording

_LEVELS = (10, 25, 50, 75, 90, 98)
_PITCHES = (10, 25, 50, 75, 90)
_BALANCES = ("centroid", "alpha_ratio", "hammarberg_index")
PROSODY_NAMES = (
    *(f"pitch_p{percent}" for percent in _PITCHES),
    *("pitch_mean", "pitch_sd", "pitch_range", "pitch_change", "pitch_drift", "pitch_rising_share", "pitch_slope"),
    *("voiced_share", "active_seconds", "voicing_mean", "voicing_sd"),
    *(f"level_p{percent}" for percent in _LEVELS),
    *("level_sd", "level_change", "voiced_runs_per_second", "voiced_run_mean", "voiced_run_sd"),
    *(f"{name}_{part}" for name in _BALANCES for part in ("mean", "sd", "p20", "p80")),
)


def prosody_functionals(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """
    Describe the prosody of one clip.

    Args:
        waveform (`np.ndarray` of shape `(num_samples,)`): mono, audible.
        sampling_rate (`int`): in Hz, more than 4 kHz; what lies above half of it counts as silent.

    Returns:
        `np.ndarray` of shape `(39,)`, float32, in the order of `PROSODY_NAMES`: pitch in semitones above 55 Hz (its change
        and drift per 10 ms, its slope per s), levels in dB, runs in s, centroid in kHz. NaN where a clip holds too little
        voice to tell.

    Raises:
        ValueError: the rate is too low for the bands that are compared.
    """
    if sampling_rate <= LOWEST_RATE:
        raise ValueError(
            f"expected sound at more than {LOWEST_RATE} Hz to describe its prosody, got {sampling_rate}; set a higher "
            "`sampling_rate` in the feature extractor."
        )
    pitch, voicing, level, balances = prosody_tracks(waveform, sampling_rate)
    active = level > level.max() - ACTIVE_RANGE
    voiced = active & (voicing > VOICED)
    active_seconds = active.sum() * HOP_SECONDS
    runs = _run_seconds(voiced)
    level_steps = np.abs(np.diff(level))[active[1:]]
    values = [
        *_pitch_functionals(pitch, voiced),
        *(voiced.sum() / active.sum(), active_seconds, voicing[active].mean(), voicing[active].std()),
        *np.percentile(level[active], _LEVELS),
        *(level[active].std(), level_steps.mean() if level_steps.size else 0.0),
        *(len(runs) / active_seconds, runs.mean() if runs.size else 0.0, runs.std() if runs.size else 0.0),
    ]
    for track in balances:
        kept = track[voiced] if voiced.sum() >= FEWEST_VOICED_FRAMES else track[active]
        values += [kept.mean(), kept.std(), *np.percentile(kept, (20, 80))]
    return np.array(values, np.float32)


def prosody_tracks(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, ...]:
    """
    Follow the voice in steps of 10 ms.

    Args:
        waveform (`np.ndarray` of shape `(num_samples,)`): mono.
        sampling_rate (`int`): in Hz.

    Returns:
        `tuple`: pitch in semitones above 55 Hz, strength of the voicing from 0 to about 1 and level in dB, each of shape
        `(num_steps,)`; and of shape `(3, num_steps)` the spectral centroid in kHz, the alpha ratio (level of 50 to 1000 Hz
        above that of 1 to 5 kHz) and the Hammarberg index (highest peak below 2 kHz above that of 2 to 5 kHz), both in dB.
    """
    window_size, hop = round(WINDOW_SECONDS * sampling_rate), round(HOP_SECONDS * sampling_rate)
    padded = np.pad(waveform, window_size // 2)
    padded = np.pad(padded, (0, max(0, window_size - len(padded))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_size)[::hop]
    blocks = [
        _block_tracks(frames[start : start + BLOCK].astype(np.float64), sampling_rate)
        for start in range(0, len(frames), BLOCK)
    ]
    pitch, *others = (np.concatenate(parts, axis=-1) for parts in zip(*blocks, strict=True))
    from scipy.ndimage import median_filter

    # Single jumps by an octave are errors of the tracker, not of the voice.
    return median_filter(pitch, PITCH_MEDIAN, mode="nearest"), *others


def _block_tracks(frames: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, ...]:
    level = _decibels((frames**2).mean(1))
    window = np.hanning(frames.shape[1])
    size = fft.next_fast_len(2 * frames.shape[1], real=True)
    power = np.abs(fft.rfft((frames - frames.mean(1, keepdims=True)) * window, size)) ** 2
    # A longer inverse transform gives the autocorrelation between the samples, where a short period's peak may lie.
    finer = math.ceil(FINEST_LAGS / sampling_rate)
    of_window = fft.irfft(np.abs(fft.rfft(window, size)) ** 2, finer * size)
    periods = np.arange(int(finer * sampling_rate / HIGHEST_PITCH), int(finer * sampling_rate / LOWEST_PITCH))
    peaks = fft.irfft(power, finer * size)
    peaks = peaks[:, periods] / np.maximum(peaks[:, :1], 1e-12) / (of_window[periods] / of_window[0])
    peaks = peaks - OCTAVE_COST * np.log2(periods / periods[0])
    best = peaks.argmax(1)
    voicing = peaks[np.arange(len(best)), best]
    period = periods[best] + _offset_of_peak(peaks, best)
    pitch = 12 * np.log2(finer * sampling_rate / period / PITCH_REFERENCE)

    frequency = fft.rfftfreq(size, 1 / sampling_rate)
    power = power + 1e-12

    def between(low: float, high: float) -> np.ndarray:
        return power[:, (frequency >= low) & (frequency < high)]

    balances = np.stack(
        [
            power @ frequency / power.sum(1) / 1000,
            _decibels(between(50, 1000).sum(1)) - _decibels(between(1000, 5000).sum(1)),
            _decibels(between(0, 2000).max(1)) - _decibels(between(2000, 5000).max(1)),
        ]
    )
    return pitch, voicing, level, balances


def _offset_of_peak(values: np.ndarray, best: np.ndarray) -> np.ndarray:
    """How far, in places, the top of the parabola through each row's highest value and its neighbours lies from it."""
    inner = best.clip(1, values.shape[1] - 2)
    left, middle, right = (values[np.arange(len(best)), inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    # At either end of the range the highest value need not be a peak.
    is_peak = (inner == best) & (bend < 0)
    return np.where(is_peak, 0.5 * (left - right) / np.where(is_peak, bend, 1), 0.0)


def _pitch_functionals(pitch: np.ndarray, voiced: np.ndarray) -> list[float]:
    if voiced.sum() < FEWEST_VOICED_FRAMES:
        return [np.nan] * (len(_PITCHES) + 7)
    heard, seconds = pitch[voiced], np.flatnonzero(voiced) * HOP_SECONDS
    percentiles = np.percentile(heard, _PITCHES)
    steps = np.diff(pitch)[voiced[1:] & voiced[:-1]]
    steps = steps[np.abs(steps) < 3]  # larger ones are errors of an octave, or of another voice
    if not steps.size:
        steps = np.zeros(1)
    centred = seconds - seconds.mean()
    slope = (centred * heard).sum() / (centred**2).sum()
    return [
        *percentiles,
        *(heard.mean(), heard.std(), percentiles[-1] - percentiles[0]),
        *(np.abs(steps).mean(), steps.mean(), (steps > 0).mean(), slope),
    ]


def _run_seconds(voiced: np.ndarray) -> np.ndarray:
    """Lengths of the unbroken stretches of voice, in s."""
    edges = np.diff(np.concatenate([[0], voiced.astype(int), [0]]))
    lengths = (np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)) * HOP_SECONDS
    return lengths[lengths > SHORTEST_VOICED_SECONDS]


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-9)


__all__ = ["PROSODY_NAMES", "prosody_functionals"]
