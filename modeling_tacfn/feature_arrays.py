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
"""Named features as arrays: what is known of them, padding and masks."""

from collections.abc import Iterable

import numpy as np
import torch


def known_statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Mean and standard deviation of every column over the rows in which it is known.

    Args:
        rows (`np.ndarray` of shape `(num_rows, size)`): NaN where a number is missing.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: both of shape `(size,)`, float32; 0 and 0 for a column that is never known.
    """
    known = np.isfinite(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64) / count
    variance = np.where(known, (rows - mean) ** 2, 0.0).sum(axis=0) / count
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def statistics_over(clips: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """
    [`known_statistics`] of the rows of many arrays, which are looked at one after the other and never held together.

    Args:
        clips (`Iterable[np.ndarray]`): of shape `(num_rows, size)` or `(size,)`; NaN where a number is missing.
    """
    count = mean = scatter = 0.0
    for clip in clips:
        rows = np.atleast_2d(clip).astype(np.float64)
        known = np.isfinite(rows)
        added = known.sum(axis=0)
        own_mean = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(added, 1)
        own_scatter = np.where(known, (rows - own_mean) ** 2, 0.0).sum(axis=0)
        total = np.maximum(count + added, 1)
        # Chan, Golub, LeVeque 1979: two sets' means and scatters give those of both together.
        scatter = scatter + own_scatter + (own_mean - mean) ** 2 * count * added / total
        mean = mean + (own_mean - mean) * added / total
        count = count + added
    return np.float32(mean), np.float32(np.sqrt(scatter / np.maximum(count, 1)))


def speaker_estimate(clips: list[np.ndarray], prior: dict | None = None) -> tuple[np.ndarray, np.ndarray]:
    """
    Mean and standard deviation of one feature of one speaker, from some of his clips.

    With a prior, a few clips do not decide alone: `n` clips count as `n`, what is usual of other speakers as so many clips
    as make the estimate best on average (empirical Bayes). Without any clip it is what is usual.

    Args:
        clips (`list[np.ndarray]`): the feature in each clip, of shape `(num_steps, size)` or `(size,)`; NaN where missing.
        prior (`dict`, *optional*): `mean`, `std`, and how many clips they are worth, `mean_clips` and `std_clips`, each
            of `size` numbers, as `adaptation.speaker_prior` makes it.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: both of shape `(size,)`, float32.

    Raises:
        ValueError: neither a clip nor a prior.
    """
    if not clips and prior is None:
        raise ValueError("expected clips of the speaker, or a processor with a `speaker_prior`, got neither.")
    if prior is None:
        mean, std = known_statistics(np.concatenate([np.atleast_2d(clip) for clip in clips]))
        return mean, np.where(std > 1e-6, std, np.float32(1))
    usual_mean, usual_std, mean_clips, std_clips = (
        np.asarray(prior[key], np.float64) for key in ("mean", "std", "mean_clips", "std_clips")
    )
    if not clips:
        return usual_mean.astype(np.float32), usual_std.astype(np.float32)
    count = sum(np.isfinite(np.atleast_2d(clip)).any(axis=0).astype(np.float64) for clip in clips)
    rows = np.concatenate([np.atleast_2d(clip) for clip in clips]).astype(np.float64)
    mean = (count * known_statistics(rows)[0] + mean_clips * usual_mean) / (count + mean_clips)
    squares = known_statistics((rows - mean) ** 2)[0]
    variance = (count * squares + std_clips * usual_std**2) / (count + std_clips)
    return mean.astype(np.float32), np.sqrt(np.maximum(variance, 1e-12)).astype(np.float32)


def mean_of_known(rows: np.ndarray) -> np.ndarray:
    """Mean of every column over the rows in which it is known, of shape `(size,)`; NaN if it never is."""
    return np.where(np.isfinite(rows).any(axis=0), known_statistics(rows)[0], np.nan).astype(np.float32)


def pad_feature(name: str, values: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """
    Stack one feature of several clips.

    Args:
        name (`str`): of the feature, for messages.
        values (`list[np.ndarray]`): one array of shape `(num_steps, size)` or `(size,)` per clip; `None`: the clip has none.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: values, 0 where there are none, and the mask. A vector is masked per number, a
        sequence per step: one missing number makes its step unusable.

    Raises:
        ValueError: the arrays do not have one rank and size.
    """
    rows = {index: row for index, row in enumerate(values) if row is not None}
    dims = {row.shape[-1] for row in rows.values()}
    ranks = {row.ndim for row in rows.values()}
    if len(dims) > 1 or len(ranks) > 1:
        shapes = sorted({row.shape for row in rows.values()})
        raise ValueError(f"expected the feature {name!r} to have as many numbers in every clip, got shapes {shapes}.")
    longest = max(len(row) for row in rows.values())
    shape = (len(values), longest) if ranks == {1} else (len(values), longest, dims.pop())
    padded = np.full(shape, np.nan, np.float32)
    for index, row in rows.items():
        padded[index, : len(row)] = row
    known = np.isfinite(padded)
    mask = known if ranks == {1} else known.all(axis=-1)
    return np.where(mask if ranks == {1} else mask[..., None], padded, np.float32(0.0)), mask


def spread_rows(rows: dict, indices: list[int], size: int) -> dict:
    """
    Put the rows of the clips that have a modality among empty rows for those that lack it.

    Args:
        rows (`dict[str, np.ndarray | torch.Tensor]`): arrays with a row for each clip that has the modality.
        indices (`list[int]`): which clips of the batch those are.
        size (`int`): how many clips the batch has.

    Returns:
        `dict[str, np.ndarray | torch.Tensor]`: arrays of `size` rows.
    """
    if len(indices) == size:
        return dict(rows)
    spread = {}
    for key, value in rows.items():
        empty = torch.zeros if isinstance(value, torch.Tensor) else np.zeros
        place = {"device": value.device} if isinstance(value, torch.Tensor) else {}
        spread[key] = empty((size, *value.shape[1:]), dtype=value.dtype, **place)
        spread[key][indices] = value
    return spread


def normalize_batch(data: dict, statistics: dict) -> None:
    """
    Centre and scale what is there by a speaker's statistics; padding stays zero.

    Args:
        data (`dict`): a batch with `input_features`, `features` and their masks, changed in place.
        statistics (`dict[str, tuple]`): mean and standard deviation of `audio` and of each named feature.

    Raises:
        ValueError: the statistics lack a modality of the batch.
    """

    def scaled(name, values, mask):
        if name not in statistics:
            raise ValueError(f"expected statistics of {name!r} for this speaker, got those of {sorted(statistics)}.")
        mean, std = (np.asarray(numbers, np.float32) for numbers in statistics[name])
        if isinstance(values, torch.Tensor):
            mean, std = (torch.from_numpy(numbers).to(values.device) for numbers in (mean, std))
        return (values - mean) / std * (mask if mask.ndim == values.ndim else mask[..., None])

    if "input_features" in data:
        data["input_features"] = scaled("audio", data["input_features"], data["audio_mask"])
    for name, values in data.get("features", {}).items():
        data["features"][name] = scaled(name, values, data["feature_masks"][name])


__all__ = [
    "known_statistics",
    "mean_of_known",
    "normalize_batch",
    "pad_feature",
    "speaker_estimate",
    "spread_rows",
    "statistics_over",
]
