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
EfficientFace (Zhao et al. 2021, AAAI 35(4), 3510-3519), the video encoder of AVT-CA: one face crop becomes one vector.

A ShuffleNet-v2 whose early map is weighted by channel and spatial attention and joined by local features of each quarter
of the face.
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


SMALLEST_SIDE = 9  # below, a quarter of the first map is empty


class InvertedResidual(GradientCheckpointingLayer):
    """
    A ShuffleNet-v2 unit. With stride 1 half of the channels pass by; with stride 2 all of them go through both branches.
    The shuffle then lets the halves mix in the next unit.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        half = out_channels // 2
        self.has_shortcut = stride > 1
        if self.has_shortcut:
            self.shortcut_depthwise = _depthwise(in_channels, in_channels, stride)
            self.shortcut_depthwise_norm = nn.BatchNorm2d(in_channels)
            self.shortcut_pointwise = nn.Conv2d(in_channels, half, 1, bias=False)
            self.shortcut_pointwise_norm = nn.BatchNorm2d(half)
        self.expand = nn.Conv2d(in_channels if self.has_shortcut else half, half, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(half)
        self.depthwise = _depthwise(half, half, stride)
        self.depthwise_norm = nn.BatchNorm2d(half)
        self.contract = nn.Conv2d(half, half, 1, bias=False)
        self.contract_norm = nn.BatchNorm2d(half)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.has_shortcut:
            passed = self.shortcut_depthwise_norm(self.shortcut_depthwise(hidden))
            passed = nn.functional.relu(self.shortcut_pointwise_norm(self.shortcut_pointwise(passed)))
        else:
            passed, hidden = hidden.chunk(2, dim=1)
        hidden = nn.functional.relu(self.expand_norm(self.expand(hidden)))
        hidden = self.depthwise_norm(self.depthwise(hidden))
        hidden = nn.functional.relu(self.contract_norm(self.contract(hidden)))
        return torch.stack([passed, hidden], dim=2).flatten(1, 2)  # one channel of each in turn: the shuffle


class Stage(nn.ModuleList):
    """Inverted residuals, one after the other."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        for unit in self:
            hidden = unit(hidden)
        return hidden


class ChannelGate(nn.Module):
    """A score per channel `(batch, channels, 1, 1)` from the mean of each channel."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.reduce = nn.Linear(channels, size)
        self.reduce_norm = nn.BatchNorm1d(size)
        self.score = nn.Linear(size, channels)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        reduced = nn.functional.relu(self.reduce_norm(self.reduce(hidden.mean((2, 3)))))
        return self.score(reduced)[:, :, None, None]


class SpatialGate(nn.Module):
    """A score per position `(batch, 1, height, width)` from its surroundings, seen through dilated convolutions."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, size, 1)
        self.reduce_norm = nn.BatchNorm2d(size)
        self.context1 = nn.Conv2d(size, size, 3, padding=4, dilation=4)
        self.context1_norm = nn.BatchNorm2d(size)
        self.context2 = nn.Conv2d(size, size, 3, padding=4, dilation=4)
        self.context2_norm = nn.BatchNorm2d(size)
        self.score = nn.Conv2d(size, 1, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.relu(self.reduce_norm(self.reduce(hidden)))
        hidden = nn.functional.relu(self.context1_norm(self.context1(hidden)))
        hidden = nn.functional.relu(self.context2_norm(self.context2(hidden)))
        return self.score(hidden)


class ChannelSpatialAttention(nn.Module):
    """Weight every number of a map by `sigmoid(channel score x position score)`."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.channel_gate = ChannelGate(channels, size)
        self.spatial_gate = SpatialGate(channels, size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.channel_gate(hidden) * self.spatial_gate(hidden)) * hidden


class LocalQuarter(nn.Module):
    """Two depthwise convolutions over one quarter of the map."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = _depthwise(in_channels, out_channels, stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _depthwise(out_channels, out_channels, 1)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, quarter: torch.Tensor) -> torch.Tensor:
        quarter = nn.functional.relu(self.norm1(self.conv1(quarter)))
        return nn.functional.relu(self.norm2(self.conv2(quarter)))


class LocalFeatures(nn.Module):
    """
    Each quarter of the map by convolutions of its own, which see nothing of the others.

    The published code cuts at 28, the middle for faces of 224x224. Here any size is cut at the even number nearest to its
    middle, so that with stride 2 the quarters together are as large as the whole map halved.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.top_left = LocalQuarter(in_channels, out_channels, stride)
        self.bottom_left = LocalQuarter(in_channels, out_channels, stride)
        self.top_right = LocalQuarter(in_channels, out_channels, stride)
        self.bottom_right = LocalQuarter(in_channels, out_channels, stride)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        row, column = (2 * ((size + 2) // 4) for size in hidden.shape[2:])
        top, bottom = hidden[:, :, :row], hidden[:, :, row:]
        left = torch.cat([self.top_left(top[..., :column]), self.bottom_left(bottom[..., :column])], dim=2)
        right = torch.cat([self.top_right(top[..., column:]), self.bottom_right(bottom[..., column:])], dim=2)
        return torch.cat([left, right], dim=3)


class EfficientFace(nn.Module):
    """
    The network without its classifier: `(images, 3, height, width)` → `(images, feature_size)`, at any size from 9x9.

    Args:
        stem_channels (`int`): output channels of the first convolution; it and the pooling after it each halve the map.
        stage_channels (`Sequence[int]`): output channels of each stage, which halves the map again.
        stage_depths (`Sequence[int]`): inverted residuals of each stage.
        feature_size (`int`): size of the vector per image.
        attention_size (`int`): channels inside both gates of the attention.
        attention_place (`str`): `"after_first_stage"`, as published, or `"before_stages"`, as AVT-CA's figure draws it.
    """

    def __init__(
        self,
        stem_channels: int,
        stage_channels,
        stage_depths,
        feature_size: int,
        attention_size: int,
        attention_place: str,
    ):
        super().__init__()
        self.is_attention_first = attention_place == "before_stages"
        self.stem = nn.Conv2d(3, stem_channels, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem_channels)
        stages, channels = [], stem_channels
        for out_channels, depth in zip(stage_channels, stage_depths, strict=True):
            units = [InvertedResidual(channels, out_channels, 2)]
            units += [InvertedResidual(out_channels, out_channels, 1) for _ in range(depth - 1)]
            stages.append(Stage(units))
            channels = out_channels
        self.first_stage = stages[0]
        self.later_stages = nn.ModuleList(stages[1:])
        attended_channels = stem_channels if self.is_attention_first else stage_channels[0]
        self.attention = ChannelSpatialAttention(attended_channels, attention_size)
        self.local = LocalFeatures(stem_channels, attended_channels, stride=1 if self.is_attention_first else 2)
        self.output = nn.Conv2d(channels, feature_size, 1, bias=False)
        self.output_norm = nn.BatchNorm2d(feature_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # oneDNN runs these convolutions about a tenth faster with channels last.
        images = images.contiguous(memory_format=torch.channels_last)
        hidden = nn.functional.relu(self.stem_norm(self.stem(images)))
        hidden = nn.functional.max_pool2d(hidden, 3, stride=2, padding=1)
        if self.is_attention_first:
            hidden = self.first_stage(self.attention(hidden) + self.local(hidden))
        else:
            hidden = self.attention(self.first_stage(hidden)) + self.local(hidden)
        for stage in self.later_stages:
            hidden = stage(hidden)
        return nn.functional.relu(self.output_norm(self.output(hidden))).mean((2, 3))


def _depthwise(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False)
