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
"""The file that keeps what a speaker-normalised network has to know of a person; `adaptation.save_speaker` writes it."""

import json
import os
from pathlib import Path

import numpy as np


FORMAT = "tacfn-speaker"
VERSION = 1


def load_speaker(path: str | os.PathLike, processor=None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """
    Read what a network has to know of a speaker.

    Args:
        path (`str` or `os.PathLike`): the file that `tacfn adapt` or `adaptation.save_speaker` wrote.
        processor ([`TacfnProcessor`], *optional*): that the file must fit.

    Returns:
        `dict[str, tuple[np.ndarray, np.ndarray]]`: as `processor.speaker_statistics` gives them, the `speaker` of a call.

    Raises:
        ValueError: it is no such file, was written by a newer version, or belongs to another network.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format {stored['format']!r}")
        version = stored["version"]
        statistics = {
            name: tuple(np.asarray(values[key], np.float32) for key in ("mean", "std"))
            for name, values in stored["features"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a speaker's file in {path}, as `tacfn adapt` writes them, got {error}.") from error
    if version > VERSION:
        raise ValueError(f"{path}: expected version {VERSION}, got {version}; upgrade modeling_tacfn.")
    for name, (mean, std) in statistics.items():
        if mean.ndim != 1 or mean.shape != std.shape or not (np.isfinite(mean).all() and (std > 0).all()):
            raise ValueError(f"{path}: expected a finite mean and a positive std for each number of {name!r}.")
    wanted = {} if processor is None else (processor.speaker_prior or {})
    for name, usual in wanted.items():
        size = len(statistics[name][0]) if name in statistics else None
        if size != len(usual["mean"]):
            raise ValueError(
                f"{path}: expected {len(usual['mean'])} numbers for {name!r}, got {size or 'none'}; the file was made for "
                "another network. Make it with this one: `tacfn adapt --model …`."
            )
    return statistics


__all__ = ["FORMAT", "VERSION", "load_speaker"]
