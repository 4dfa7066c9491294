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
"""What the baselines' encoders give, and what the streams of MMTM and MSAF exchange on the way."""

from dataclasses import dataclass

import torch
from torch import nn

from .modeling_av_attention import SelectionEncoder
from .modeling_av_audio import MfccEncoder
from .modeling_av_common import Standardize, adaptive_bins, masked_mean, masked_statistics, prefix_mask
from .modeling_av_resnext import ResNext3d
from .modeling_tacfn import TacfnFeatureInput


@dataclass
class Stream:
    """
    What the encoder of one modality gives.

    Args:
        tokens (`torch.FloatTensor`): `(batch, steps, size)`, or `(batch, slots, positions, size)` for video.
        mask (`torch.BoolTensor`): `tokens` without its last dimension; 1 for real tokens.
        readout (`torch.FloatTensor` of shape `(batch, readout_size)`): what a classifier sees; 0 for an absent modality.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    readout: torch.Tensor

    @property
    def present(self) -> torch.Tensor:
        """Whether a clip has this modality, `(batch,)`."""
        return self.mask.flatten(1).any(1)

    def as_sequence(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All tokens in one sequence `(batch, steps, size)`, and their mask."""
        return self.tokens.flatten(1, -2), self.mask.flatten(1)


class AudioVideoStreams(nn.Module):
    """TACFN's encoders of the audio-video form; MMTM and MSAF exchange before the last step of each and after it."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        map_size = 2 * config.video_widths[-1]
        self.video_encoder = ResNext3d(
            config.video_stem_channels, config.video_widths, config.video_depths, config.video_cardinality
        )
        self.audio_standardize = Standardize(config.audio_coefficients)
        self.audio_encoder = MfccEncoder(
            config.audio_coefficients, config.audio_channels, config.audio_pool_size, config.audio_dropout
        )
        self.exchanges = exchanges(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.token_sizes = {"video": map_size, "audio": config.hidden_size}
        self.readout_sizes = {"video": map_size, "audio": config.audio_bins * config.hidden_size}

    def forward(self, input_features, audio_mask, pixel_values_videos, video_mask, **kwargs) -> dict[str, Stream]:
        present = pixel_values_videos if input_features is None else input_features
        streams = {}
        if pixel_values_videos is not None:
            hidden, frames = self.video_encoder.before_last_stage(pixel_values_videos, video_mask)
            streams["video"] = (hidden.movedim(1, -1), frames)  # (batch, frames, h, w, channels)
        if input_features is not None:
            hidden, lengths = self.audio_encoder.before_pooling(self.audio_standardize(input_features), audio_mask)
            streams["audio"] = (hidden.transpose(1, 2), prefix_mask(lengths, hidden.shape[-1]))
        streams = self._exchange(0, streams)
        if "video" in streams:
            hidden, frames = streams["video"]
            streams["video"] = self.video_encoder.last_stage(hidden.movedim(-1, 1), frames)
        if "audio" in streams:
            hidden, lengths = self.audio_encoder.after_pooling(streams["audio"][0].transpose(1, 2), lengths)
            streams["audio"] = (hidden, prefix_mask(lengths, hidden.shape[1]))
        streams = self._exchange(1, streams)
        return {name: self._stream(name, streams, present) for name in self.config.modalities}

    def _exchange(self, index: int, streams: dict) -> dict:
        return exchange(self.exchanges[index], streams) if self.exchanges else streams

    def _stream(self, name: str, streams: dict, present: torch.Tensor) -> Stream:
        if name not in streams:
            shape = (1, 1, self.token_sizes[name]) if name == "video" else (1, self.token_sizes[name])
            return absent_stream(present, shape, self.readout_sizes[name])
        tokens, mask = streams[name]
        if name == "audio":
            bins = adaptive_bins(tokens, mask.sum(1), self.config.audio_bins)
            return Stream(tokens, mask, self.dropout(bins.transpose(1, 2).flatten(1)))
        tokens = tokens.flatten(2, 3)  # (batch, slots, positions, map_size)
        mask = mask[:, :, None].expand(tokens.shape[:3])
        return Stream(tokens, mask, masked_mean(tokens.flatten(1, 2), mask.flatten(1)))

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {"audio": self.audio_standardize}


class FeatureStreams(nn.Module):
    """TACFN's inputs and selection encoders of the feature form; MMTM and MSAF exchange before and after the latter."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.inputs = nn.ModuleDict({name: TacfnFeatureInput(config, name) for name in config.modalities})
        # In MulT a modality attends to the others first; its own self-attention comes after.
        encoded = () if config.fusion == "mult" else config.encoded_targets
        self.selections = nn.ModuleDict(
            {name: SelectionEncoder(config, has_positions=name not in config.static_features) for name in encoded}
        )
        self.exchanges = exchanges(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.has_statistics = {
            name: config.readout == "statistics" and name not in config.static_features for name in config.modalities
        }
        self.token_sizes = dict.fromkeys(config.modalities, config.hidden_size)
        self.readout_sizes = {
            name: 3 * size if self.has_statistics[name] else size for name, size in self.token_sizes.items()
        }

    def forward(self, features: dict, masks: dict, **kwargs) -> dict[str, Stream]:
        present = next(iter(features.values()))
        streams = self._exchange(0, {name: self.inputs[name](features[name], masks[name]) for name in features})
        for name, (tokens, mask) in streams.items():
            if name in self.selections:
                streams[name] = (self.selections[name](tokens, mask, **kwargs), mask)
        streams = self._exchange(1, streams)
        return {name: self._stream(name, streams, present) for name in self.config.modalities}

    def _exchange(self, index: int, streams: dict) -> dict:
        return exchange(self.exchanges[index], streams) if self.exchanges else streams

    def _stream(self, name: str, streams: dict, present: torch.Tensor) -> Stream:
        if name not in streams:
            return absent_stream(present, (1, self.token_sizes[name]), self.readout_sizes[name])
        tokens, mask = streams[name]
        pool = masked_statistics if self.has_statistics[name] else masked_mean
        return Stream(tokens, mask, self.dropout(pool(tokens, mask)))

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {name: feature_input.standardize for name, feature_input in self.inputs.items()}


def absent_stream(present: torch.Tensor, shape: tuple[int, ...], readout_size: int) -> Stream:
    """The stream, of one masked token, of a modality that no clip of the batch has; `present` is an input it has."""
    tokens = present.new_zeros(present.shape[0], *shape)
    mask = torch.zeros(tokens.shape[:-1], dtype=torch.bool, device=present.device)
    return Stream(tokens, mask, present.new_zeros(present.shape[0], readout_size))


def exchanges(config) -> nn.ModuleList:
    """The two modules by which the streams of MMTM or MSAF gate each other's channels; none for other methods."""
    if config.fusion not in ("mmtm", "msaf"):
        return nn.ModuleList()
    build = MmtmExchange if config.fusion == "mmtm" else MsafExchange
    return nn.ModuleList([build(config, sizes) for sizes in config.exchange_sizes])


def exchange(module: nn.Module, streams: dict) -> dict:
    """
    Gate the channels of all `streams`, by name tokens `(batch, ..., size)` and a mask `(batch, frames or steps)`.

    The module maps squeezed vectors `(batch, size)` to gates of that shape; the vector of an absent modality is 0.
    """
    first, _ = next(iter(streams.values()))
    squeezed = {}
    for name, size in module.sizes.items():
        if name not in streams:
            squeezed[name] = first.new_zeros(first.shape[0], size)
            continue
        tokens, mask = streams[name]
        positions = mask.reshape(*mask.shape, *[1] * (tokens.ndim - 1 - mask.ndim)).expand(tokens.shape[:-1])
        squeezed[name] = masked_mean(tokens.flatten(1, -2), positions.flatten(1))
    gates = module(squeezed)
    return {
        name: (tokens * gates[name].reshape(len(tokens), *[1] * (tokens.ndim - 2), -1), mask)
        for name, (tokens, mask) in streams.items()
    }


class MmtmExchange(nn.Module):
    """
    Multimodal transfer module (Joze et al. 2020): squeeze and excitation over both streams together.

    `z = relu(W [s_1 ; s_2])`, gates `2 σ(W_m z)`: 1 at zero weights, so that a stream can be strengthened or weakened.
    """

    def __init__(self, config, sizes: dict[str, int]):
        super().__init__()
        self.sizes = sizes
        total = sum(sizes.values())
        self.squeeze = nn.Linear(total, total // 2)  # the released code's 2 / ratio, ratio 4
        self.excite = nn.ModuleDict({name: nn.Linear(total // 2, size) for name, size in sizes.items()})

    def forward(self, squeezed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        joint = nn.functional.relu(self.squeeze(torch.cat([squeezed[name] for name in self.sizes], dim=1)))
        return {name: 2 * layer(joint).sigmoid() for name, layer in self.excite.items()}


class MsafExchange(nn.Module):
    """
    Multimodal split attention (Su et al. 2020): the channels of all streams, cut into blocks of one size, share attention.

    The blocks' sum over all streams gives a joint vector; from it each block gets its attention, a softmax over the blocks
    channel by channel. While training, whole blocks are dropped.
    """

    def __init__(self, config, sizes: dict[str, int]):
        super().__init__()
        self.sizes = sizes
        self.block = config.msaf_block_size(sizes)
        reduced = max(1, self.block // 4)
        self.dropout = config.msaf_block_dropout
        self.joint = nn.Linear(self.block, reduced)
        self.norm = nn.BatchNorm1d(reduced)
        self.attention = nn.Linear(reduced, sum(sizes.values()))

    def forward(self, squeezed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        blocks = torch.cat([squeezed[name] for name in self.sizes], dim=1).unflatten(1, (-1, self.block))
        kept = torch.ones_like(blocks[..., :1])
        if self.training and self.dropout:
            kept = nn.functional.dropout(kept, self.dropout)
        joint = nn.functional.relu(self.norm(self.joint((blocks * kept).sum(1))))
        gates = self.attention(joint).unflatten(1, (-1, self.block)).softmax(1) * kept  # (batch, blocks, block)
        return dict(zip(self.sizes, gates.flatten(1).split(list(self.sizes.values()), dim=1), strict=True))
