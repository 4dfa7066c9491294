"""Inputs of the golden networks, by formula: the same numbers on every machine, and nothing to store."""

import numpy as np
import torch


RATE, SECONDS = 8000, (1.5, 0.8)


def wave(*shape: int, phase: float = 0.0) -> torch.Tensor:
    """Numbers between -2 and 2 that do not repeat."""
    index = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (torch.sin(0.7 * index + phase) + torch.sin(0.013 * index**1.5 + 2 * phase)).reshape(shape).float()


def direct_inputs(config) -> dict:
    """Two clips of different length as tensors and masks, the second padded with what must not matter."""
    steps, frames = 40, 6
    short = torch.ones(2, steps, dtype=torch.bool)
    short[1, 25:] = False
    seen = torch.ones(2, frames, dtype=torch.bool)
    seen[1, 4:] = False
    sizes = getattr(config, "feature_sizes", None)
    if not sizes:
        return {
            "input_features": wave(2, steps, config.audio_coefficients),
            "pixel_values_videos": wave(2, frames, 3, 48, 48, phase=1.0),
            "audio_mask": short,
            "video_mask": seen,
        }
    values, masks = {}, {}
    for place, (name, size) in enumerate(sorted(sizes.items())):
        is_static = name in config.static_features
        values[name] = wave(2, size, phase=place) if is_static else wave(2, steps, size, phase=place)
        masks[name] = torch.ones(2, size, dtype=torch.bool) if is_static else short
    return {"features": values, "feature_masks": masks}


def processed_inputs(processor) -> dict:
    """Two clips as the processor makes them of waveforms and frames, or of waveforms and named features."""
    sounds = [0.2 * wave(int(RATE * seconds), phase=place).numpy() for place, seconds in enumerate(SECONDS)]
    if processor.do_video:
        frames = [(60 * wave(9, 64, 64, 3, phase=place) + 128).numpy().astype(np.uint8) for place in (3, 4)]
        return dict(processor(audio=sounds, videos=frames, sampling_rate=RATE))
    features = {
        name: [
            wave(
                *([len(columns)] if name in processor.static_features else [6 - clip, len(columns)]), phase=clip
            ).numpy()
            for clip in range(2)
        ]
        for name, columns in processor.feature_columns.items()
    }
    return dict(processor(audio=sounds, features=features, sampling_rate=RATE))
