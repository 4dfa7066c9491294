# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Clips as they come on a bad day: noise under the voice, frames lost. What a clip gets depends on the clip alone."""

import zlib

import numpy as np


def add_noise(waveform: np.ndarray, snr_db: float, clip_id: str) -> np.ndarray:
    """
    White Gaussian noise under a sound.

    Args:
        waveform (`np.ndarray` of shape `(samples,)`): the sound; silence stays silence.
        snr_db (`float`): power of the whole clip over that of the noise, in dB.
        clip_id (`str`): the noise is drawn anew for each clip, and is the same whenever that clip is read.
    """
    power = np.mean(np.square(waveform, dtype=np.float64))
    noise = _draws(clip_id).standard_normal(waveform.shape)
    return (waveform + np.sqrt(power / 10 ** (snr_db / 10)) * noise).astype(waveform.dtype)


def lose_frames(frames: np.ndarray, lost: float, clip_id: str) -> np.ndarray:
    """
    A random part of the frames, in their order, as if no face had been found in the others; one at least remains.

    Args:
        frames (`np.ndarray` of shape `(frames, height, width, 3)`): the frames of a clip.
        lost (`float`): share of them that is lost.
        clip_id (`str`): which ones are lost depends on the clip alone; of a larger share they are some more.
    """
    kept = max(1, round((1 - lost) * len(frames)))
    return frames[np.sort(_draws(clip_id).permutation(len(frames))[:kept])]


def _draws(clip_id: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(clip_id.encode()))


__all__ = ["add_noise", "lose_frames"]
