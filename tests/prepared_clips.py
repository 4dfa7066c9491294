"""Prepared clips as the cache holds them, drawn at random, for tests of batches and of augmentation."""

import numpy as np


def drawn_clips(size: int = 8, steps: int = 12, frames: int = 3) -> list[dict]:
    generator = np.random.default_rng(0)
    return [
        {
            "input_features": generator.normal(index, 2, (steps + index, 6)).astype(np.float32),
            "crops": generator.integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8),
            "feature/units": generator.normal(size=5).astype(np.float32),
        }
        for index in range(size)
    ]


def samples(clips: list[dict]) -> list[dict]:
    """Clips of three labels and two speakers in turn."""
    return [
        {"clip": clip, "label": index % 3, "index": index, "speaker": "ab"[index % 2], "intensity": "normal"}
        for index, clip in enumerate(clips)
    ]
