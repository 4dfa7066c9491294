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
"""Audio encoders: the MFCC CNN of CFN-SR and TACFN, and a small log-mel CNN (ours). Padding never changes an answer."""

import torch
from torch import nn

from .modeling_av_common import prefix_mask


class MfccEncoder(nn.Module):
    """
    The 1-D CNN of CFN-SR (its released `mfcc_cnn.py`) with lengths: `(batch, steps, coefficients)` → `(batch, P, channels)`.

    Two convolutions of kernel 7 with padding 2 each lose 2 steps, the pooling keeps whole windows only, the last
    convolution keeps the length: `P = (steps - 4) // pool_size`, 26 for 212 steps. A clip shorter than one window is read as
    if silence followed it.
    """

    def __init__(self, coefficients: int, channels, pool_size: int, dropout: float):
        super().__init__()
        first, second, third = channels
        self.pool_size = pool_size
        self.conv1 = nn.Conv1d(coefficients, first, 7, padding=2)
        self.norm1 = nn.BatchNorm1d(first)
        self.conv2 = nn.Conv1d(first, second, 7, padding=2)
        self.norm2 = nn.BatchNorm1d(second)
        self.conv3 = nn.Conv1d(second, third, 5, padding=2)
        self.norm3 = nn.BatchNorm1d(third)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_features: torch.Tensor, audio_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the map `(batch, P, channels)` and the number of real steps of each clip `(batch,)`."""
        return self.after_pooling(*self.before_pooling(input_features, audio_mask))

    def before_pooling(
        self, input_features: torch.Tensor, audio_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is pooled, `(batch, channels, steps)`, and its number of real steps `(batch,)`."""
        shortest = self.pool_size + 4
        lengths = audio_mask.sum(1)
        lengths = torch.where(lengths > 0, lengths.clamp(min=shortest), lengths)
        hidden = (input_features * audio_mask.unsqueeze(-1).to(input_features.dtype)).transpose(1, 2)
        hidden = nn.functional.pad(hidden, (0, max(0, shortest - hidden.shape[-1])))
        hidden = self.norm1(nn.functional.relu(self.conv1(hidden)))
        hidden = zero_padding(hidden, (lengths - 2).clamp(min=0))
        return nn.functional.relu(self.conv2(hidden)), (lengths - 4).clamp(min=0)

    def after_pooling(self, hidden: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Go on from what `before_pooling` returned."""
        hidden = self.norm2(nn.functional.max_pool1d(hidden, self.pool_size))
        lengths = lengths // self.pool_size
        hidden = zero_padding(self.dropout(hidden), lengths)
        hidden = self.norm3(nn.functional.relu(self.conv3(hidden)))
        return zero_padding(hidden, lengths).transpose(1, 2), lengths


class SpectrogramEncoder(nn.Module):
    """
    Strided convolutions over time and mel bins, then a linear map of each step's channels and bins to one token.

    Ours, because a log-mel front end tells emotions apart better than MFCC through a linear projection does:
    `(batch, steps, mel_bins)` → `(batch, P, hidden_size)`, where every time stride divides the number of steps, rounded up.
    """

    def __init__(self, mel_bins: int, channels, time_strides, mel_strides, hidden_size: int, dropout: float):
        super().__init__()
        self.time_strides = tuple(time_strides)
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        size = 1
        for width, *strides in zip(channels, time_strides, mel_strides, strict=True):
            kernel = [max(3, 2 * stride - 1) for stride in strides]  # no bin is skipped
            padding = [length // 2 for length in kernel]
            self.convolutions.append(nn.Conv2d(size, width, kernel, strides, padding, bias=False))
            self.norms.append(nn.BatchNorm2d(width))
            size, mel_bins = width, -(-mel_bins // strides[1])
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(size * mel_bins, hidden_size)

    def forward(self, spectrogram: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens and their mask `(batch, P)`."""
        lengths = mask.sum(1)
        hidden = spectrogram.unsqueeze(1)  # (batch, 1, steps, mel_bins)
        for convolution, norm, stride in zip(self.convolutions, self.norms, self.time_strides, strict=True):
            hidden = hidden * prefix_mask(lengths, hidden.shape[2])[:, None, :, None].to(hidden.dtype)
            hidden = nn.functional.relu(norm(convolution(hidden)))
            lengths = (lengths + stride - 1) // stride
        mask = prefix_mask(lengths, hidden.shape[2])
        tokens = self.projection(self.dropout(hidden.transpose(1, 2).flatten(2)))
        return tokens * mask.unsqueeze(-1).to(tokens.dtype), mask


def zero_padding(hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the steps of `hidden` `(batch, channels, steps)` after each clip's length, as its own end would be padded."""
    return hidden * prefix_mask(lengths, hidden.shape[-1])[:, None].to(hidden.dtype)
