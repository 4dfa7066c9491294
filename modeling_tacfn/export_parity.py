# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Whether an exported network answers as the network it was made of, on clips of shapes that it was not traced with.

The network is asked about every clip alone and unpadded, the exported one about whole batches, padded with noise: so the law
(a clip's answer does not depend on its batch or its padding) is checked on the exported graph at the same time.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch

from .exported_model import mask_name, modality_of


TOLERANCE = 1e-4
# Longest clips of the comparison; pictures take most of the time.
LONGEST_FRAMES = 9
LONGEST_STEPS = 150
NOISE = 5.0

Clip = dict[str, np.ndarray]  # an input by its name, without batch, and the mask of what is real in it


@torch.inference_mode()
def differences(model, exported, shapes: Mapping[str, list]) -> dict[str, float]:
    """
    Largest difference of logits between a network and its export, by case.

    Args:
        model: the network, in evaluation mode.
        exported ([`ExportedModel`]): what was made of it.
        shapes (`Mapping[str, list]`): the inputs, as in [`ExportedConfig`].

    Returns:
        `dict[str, float]`: by name of a case; infinite where an answer is no number.
    """
    generator = np.random.default_rng(0)
    cases = make_cases(shapes, standardizers_of(model, shapes), generator)
    found = {}
    for case, (clips, padding) in cases.items():
        alone = torch.cat([model(**to_arguments(shapes, [clip], 0, generator)).logits for clip in clips])
        together = exported(**to_arguments(shapes, clips, padding, generator)).logits
        found[case] = float((alone.float() - together).abs().nan_to_num(nan=math.inf).max())
    return found


def make_cases(shapes: Mapping[str, list], scales: Mapping, generator) -> dict[str, tuple[list[Clip], int]]:
    """By name the clips of each case and how many steps of padding they get beyond the longest of them."""

    def draw(longest: float = 1.0, without: str | None = None) -> Clip:
        return draw_clip(shapes, scales, generator, longest, without)

    cases = {
        "one clip": ([draw()], 0),
        "a single step": ([draw(longest=0.0)], 0),
        "padded batch": ([draw() for _ in range(4)], 7),
    }
    if len(shapes) > 1:
        for name in shapes:
            cases[f"without {name}"] = ([draw(without=name) for _ in range(2)], 0)
        cases["each without another"] = ([draw(), *(draw(without=name) for name in shapes)], 3)
    return cases


def smallest_call(shapes: Mapping[str, list]) -> dict:
    """Arguments of a call with one clip that has a single step of everything."""
    generator = np.random.default_rng(0)
    return to_arguments(shapes, [draw_clip(shapes, {}, generator, 0.0, None)], 0, generator)


def standardizers_of(model, shapes: Mapping[str, list]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation of each input as training met them, where the network knows."""
    known = {name: model.fusion.standardizers.get(modality_of(name)) for name in shapes}
    return {name: (scale.mean.cpu().numpy(), scale.std.cpu().numpy()) for name, scale in known.items() if scale}


def draw_clip(shapes: Mapping[str, list], scales: Mapping, generator, longest: float, without: str | None) -> Clip:
    """A random clip: of each input a random number of steps, of a picture or a vector some of them not seen."""
    clip = {}
    for name, shape in shapes.items():
        if name == without:
            continue
        is_video, is_static = name == "pixel_values_videos", len(shape) == 2
        limit = LONGEST_FRAMES if is_video else LONGEST_STEPS
        steps = shape[1] if is_static else int(generator.integers(1, max(1, round(longest * limit)) + 1))
        values = generator.normal(size=shape[1:] if is_static else (steps, *shape[2:]))
        mean, deviation = scales.get(name, (0.0, 1.0))
        clip[name] = (mean + deviation * values).astype(np.float32)
        mask = np.ones(steps, bool)
        if steps > 2 and (is_video or is_static):
            mask[generator.integers(steps)] = False
        clip[mask_name(name)] = mask
    return clip


def to_arguments(shapes: Mapping[str, list], clips: list[Clip], padding: int, generator) -> dict:
    """Arguments of a call with these clips, their padding full of noise. What no clip has is left out."""
    arguments = {}
    for name in shapes:
        present = [clip[name] for clip in clips if name in clip]
        if not present:
            continue
        is_static = len(shapes[name]) == 2
        steps = len(present[0]) if is_static else max(map(len, present)) + padding
        values = NOISE * generator.normal(size=(len(clips), steps, *present[0].shape[1:])).astype(np.float32)
        mask = np.zeros((len(clips), steps), bool)
        for row, clip in enumerate(clips):
            if name in clip:
                values[row, : len(clip[name])] = clip[name]
                mask[row, : len(clip[name])] = clip[mask_name(name)]
        for key, array in ((name, values), (mask_name(name), mask)):
            kind, is_nested, feature = key.partition(".")
            if is_nested:
                arguments.setdefault(kind, {})[feature] = torch.from_numpy(array)
            else:
                arguments[key] = torch.from_numpy(array)
    return arguments
