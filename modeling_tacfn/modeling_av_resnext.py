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
"""3-D ResNeXt (Hara et al. 2018, arXiv 1711.09577; shortcut B), the video encoder of TACFN and CFN-SR, with a frame mask."""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def mask_frames(hidden: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
    """
    Zero the padded frames of `hidden` `(batch, channels, frames, height, width)`.

    Done before every layer that looks along time, so that padding is to a clip what the zero padding of a convolution
    is to its last frame: nothing. `None` means that no frame is padding.
    """
    if frame_mask is None:
        return hidden
    return hidden * frame_mask[:, None, :, None, None].to(hidden.dtype)


def none_if_whole(frame_mask: torch.Tensor) -> torch.Tensor | None:
    """`None` where it is known that no frame is padding, which spares the masking."""
    # On a GPU the look at the mask would wait for the device, which costs more than the masking.
    is_cheap = frame_mask.device.type == "cpu" and not torch.compiler.is_compiling()
    return None if is_cheap and bool(frame_mask.all()) else frame_mask


class ResNextBlock(GradientCheckpointingLayer):
    """1x1x1, grouped 3x3x3, 1x1x1 convolutions with a shortcut; gives twice its inner width."""

    def __init__(self, in_channels: int, width: int, stride: int, cardinality: int):
        super().__init__()
        out_channels = 2 * width
        self.conv1 = nn.Conv3d(in_channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=1, groups=cardinality, bias=False)
        self.norm2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(out_channels)
        self.has_shortcut = stride != 1 or in_channels != out_channels
        if self.has_shortcut:
            self.shortcut = nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.shortcut_norm = nn.BatchNorm3d(out_channels)

    def forward(self, hidden: torch.Tensor, frame_mask: torch.Tensor | None = None) -> torch.Tensor:
        residual = self.shortcut_norm(self.shortcut(hidden)) if self.has_shortcut else hidden
        hidden = nn.functional.relu(self.norm1(self.conv1(hidden)))
        hidden = nn.functional.relu(self.norm2(self.conv2(mask_frames(hidden, frame_mask))))
        return nn.functional.relu(self.norm3(self.conv3(hidden)) + residual)


class ResNext3d(nn.Module):
    """
    The convolutional part of the network: `(batch, frames, 3, height, width)` → `(batch, slots, h, w, 2 * widths[-1])`.

    Time is halved by the stem's pooling and by every stage but the first: 30 frames of 224x224 give 2 slots of 7x7.
    Any number of frames and any size are accepted. `stem_activation=False` leaves out the stem's ReLU, as the released
    CFN-SR does.
    """

    def __init__(self, stem_channels: int, widths, depths, cardinality: int, stem_activation: bool = True):
        super().__init__()
        self.stem_activation = stem_activation
        self.stem = nn.Conv3d(3, stem_channels, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.stem_norm = nn.BatchNorm3d(stem_channels)
        self.stages = nn.ModuleList()
        channels = stem_channels
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stage = nn.ModuleList()
            for block in range(depth):
                stride = 2 if index > 0 and block == 0 else 1
                stage.append(ResNextBlock(channels, width, stride, cardinality))
                channels = 2 * width
            self.stages.append(stage)

    def forward(
        self, pixel_values_videos: torch.Tensor, video_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the map and the mask of its time slots `(batch, slots)`; a slot is real if its centre frame is."""
        return self.last_stage(*self.before_last_stage(pixel_values_videos, video_mask))

    def before_last_stage(
        self, pixel_values_videos: torch.Tensor, video_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the last stage is given, `(batch, channels, frames, h, w)`, and the mask of its frames."""
        hidden = pixel_values_videos.transpose(1, 2)  # (batch, 3, frames, height, width)
        # oneDNN and cuDNN run 3-D convolutions 1.4 to 1.6 times faster with channels last.
        hidden = hidden.contiguous(memory_format=torch.channels_last_3d)
        frames, slots = none_if_whole(video_mask), video_mask[:, ::2]
        hidden = self.stem_norm(self.stem(mask_frames(hidden, frames)))
        hidden = self._pool_stem(nn.functional.relu(hidden) if self.stem_activation else hidden, frames, slots)
        mask = slots
        for index in range(len(self.stages) - 1):
            hidden, mask = self._run_stage(index, hidden, mask)
        return hidden, mask

    def last_stage(self, hidden: torch.Tensor, frame_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Go on from what `before_last_stage` returned."""
        hidden, slot_mask = self._run_stage(len(self.stages) - 1, hidden, frame_mask)
        return mask_frames(hidden, none_if_whole(slot_mask)).permute(0, 2, 3, 4, 1), slot_mask

    def _run_stage(self, index: int, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one stage; every stage but the first halves time in its first block."""
        frames = none_if_whole(mask)
        for block, layer in enumerate(self.stages[index]):
            hidden = layer(hidden, frames)
            if index > 0 and block == 0:
                mask = mask[:, ::2]
                frames = none_if_whole(mask)
        return hidden, mask

    def _pool_stem(self, hidden, frame_mask, slot_mask):
        """Max pooling to which padded frames are what its own padding is: never the maximum."""
        if self.stem_activation or frame_mask is None:
            # After the ReLU a zeroed frame never wins over a real one.
            return nn.functional.max_pool3d(mask_frames(hidden, frame_mask), 3, stride=2, padding=1)
        hidden = hidden.masked_fill(~frame_mask[:, None, :, None, None], torch.finfo(hidden.dtype).min)
        # What has no real frame would overflow in the next layer.
        return mask_frames(nn.functional.max_pool3d(hidden, 3, stride=2, padding=1), slot_mask)
