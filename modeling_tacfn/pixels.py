# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Bytes of face crops become what the network takes, on whatever device they are: changed as was drawn, normalised, mixed."""

import torch
from torch import nn


def finish_pixels(batch: dict, image_processor) -> dict:
    """
    Give a batch its pixels.

    Args:
        batch (`dict`): its `crops`, if it has any, hold the bytes `frames` `(batch, frames, height, width, 3)`, their `mask`
            `(batch, frames)`, and what was drawn for them (`moves`, `brightness`, `partner`, `share`), all of one device.
        image_processor ([`TacfnImageProcessor`]): its pixel normalisation is applied.

    Returns:
        `dict`: the batch with `pixel_values_videos` `(batch, frames, 3, height, width)`, float32, in the place of its `crops`.
    """
    crops = batch.get("crops")
    if crops is None:
        return batch
    pixels = changed_pixels(crops["frames"].permute(0, 1, 4, 2, 3).float(), crops)
    pixels = normalized(pixels, image_processor) * crops["mask"][:, :, None, None, None]
    if "partner" in crops:
        pixels = mix_pairs(pixels, crops["partner"], crops["share"])
    return {name: values for name, values in batch.items() if name != "crops"} | {"pixel_values_videos": pixels}


def normalized(pixels: torch.Tensor, settings) -> torch.Tensor:
    """Pixels `(…, 3, height, width)` in 0 … 255 with the channel order, range and statistics of an image processor."""
    if settings.do_flip_channel_order:
        pixels = pixels.flip(-3)
    if settings.do_rescale:
        pixels = pixels * settings.rescale_factor
    if settings.do_normalize:
        mean, std = (
            # Anything else than a copy that nobody waits for would hold up a GPU in each step.
            torch.tensor(values)[:, None, None].to(pixels.device, non_blocking=True)
            for values in (settings.image_mean, settings.image_std)
        )
        pixels = (pixels - mean) / std
    return pixels


def changed_pixels(pixels: torch.Tensor, crops: dict[str, torch.Tensor]) -> torch.Tensor:
    """
    Move and brighten frames as was drawn for them.

    Args:
        pixels (`torch.FloatTensor` of shape `(batch, frames, 3, height, width)`): in 0 … 255, of any device.
        crops (`dict[str, torch.Tensor]`): has `moves` and `brightness` where they were drawn, of the same device.

    Returns:
        `torch.FloatTensor` of the same shape.
    """
    if "moves" in crops:
        flat = pixels.flatten(0, 1)
        moves = crops["moves"].repeat_interleave(pixels.shape[1], dim=0)
        grid = nn.functional.affine_grid(moves, list(flat.shape), align_corners=False)
        pixels = nn.functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(pixels)
    if "brightness" in crops:
        pixels = (pixels * crops["brightness"][:, None, None, None, None]).clamp(0, 255)
    return pixels


def mix_pairs(values: torch.Tensor, partner: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """
    Each clip with what `1 - share` of its partner adds to it.

    Args:
        values (`torch.Tensor` of shape `(batch, …)`): numbers, which are mixed, or a mask, which is united with the partner's.
        partner (`torch.LongTensor` of shape `(batch,)`): another row of the batch for each.
        share (`torch.FloatTensor` of shape `(batch,)`): what a clip keeps of itself.
    """
    column = (-1, *[1] * (values.ndim - 1))
    if values.dtype == torch.bool:
        return values | (values[partner] & (share < 1).view(column))
    return torch.lerp(values[partner], values, share.view(column))


__all__ = ["changed_pixels", "finish_pixels", "mix_pairs", "normalized"]
