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
How the baselines fuse: each method from its paper, its authors' code read where it is public.

`docs/baselines.md` holds the sources, the parameter counts, and what is ours.
"""

import copy
import math

import torch
from torch import nn
from transformers import initialization as init

from .baseline_streams import Stream
from .modeling_av_attention import (
    EncoderLayer,
    SelectionEncoder,
    SelfAttention,
    attention_mask_of,
    sinusoidal_positions,
)
from .modeling_av_common import last_step, masked_mean, masked_softmax


class JoinedReadouts(nn.Module):
    """The readouts of all streams side by side, which late fusion leaves as they are."""

    def __init__(self, config, streams: nn.Module):
        super().__init__()
        self.fused_size = sum(streams.readout_sizes.values())

    def forward(self, streams: dict[str, Stream], **kwargs) -> torch.Tensor:
        return torch.cat([stream.readout for stream in streams.values()], dim=1)


class Concatenation(nn.Module):
    """The joined readouts through one hidden layer."""

    def __init__(self, config, streams: nn.Module):
        super().__init__()
        self.fused_size = config.concatenation_size
        self.hidden = nn.Linear(sum(streams.readout_sizes.values()), config.concatenation_size)

    def forward(self, streams: dict[str, Stream], **kwargs) -> torch.Tensor:
        return nn.functional.relu(self.hidden(torch.cat([stream.readout for stream in streams.values()], dim=1)))


class CountSketch(nn.Module):
    """Add up the numbers of a vector `(batch, size)`, each with its own sign, in bins that were drawn once."""

    def __init__(self, size: int, bins: int):
        super().__init__()
        self.bins = bins
        self.bin = nn.Buffer(torch.zeros(size, dtype=torch.long))
        self.sign = nn.Buffer(torch.ones(size))

    @torch.no_grad()
    def draw(self) -> None:
        """Draw bins and signs; they are part of the saved weights."""
        init.copy_(self.bin, torch.randint(self.bins, self.bin.shape, device=self.bin.device))
        init.copy_(self.sign, torch.randint(2, self.sign.shape, device=self.sign.device) * 2.0 - 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        sketch = values.new_zeros(values.shape[0], self.bins)
        return sketch.index_add(1, self.bin, values * self.sign.to(values.dtype))


class CompactBilinear(nn.Module):
    """
    Multimodal compact bilinear pooling (Fukui et al. 2016): a sketch of the outer product of the readouts.

    The product of the sketches' Fourier transforms is the transform of the outer product's own sketch, then signed square
    root and unit length. More than two factors are the tensor sketch of Pham and Pagh 2013, which the paper starts from.
    An absent modality is left out of the product.
    """

    def __init__(self, config, streams: nn.Module):
        super().__init__()
        self.fused_size = config.sketch_size
        self.sketches = nn.ModuleDict(
            {name: CountSketch(size, config.sketch_size) for name, size in streams.readout_sizes.items()}
        )

    def forward(self, streams: dict[str, Stream], **kwargs) -> torch.Tensor:
        product, dtype = None, None
        for name, stream in streams.items():
            dtype = stream.readout.dtype
            # Half precisions have no Fourier transform of every length.
            transform = torch.fft.rfft(self.sketches[name](stream.readout.float()))
            factor = torch.where(stream.present[:, None], transform, torch.ones_like(transform))
            product = factor if product is None else product * factor
        pooled = torch.fft.irfft(product, n=self.fused_size)
        pooled = pooled / (pooled.abs() + 1e-6).sqrt()  # of finite slope at 0
        return nn.functional.normalize(pooled, dim=1).to(dtype)


class CrossModalEncoder(nn.Module):
    """One direction of MulT: a stack of layers in which the tokens of a target attend to those of a source."""

    def __init__(self, config, target: str, source: str):
        super().__init__()
        self.has_positions = [name not in config.static_features for name in (target, source)]
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, target, source, target_mask, source_mask, **kwargs) -> torch.Tensor:
        """Return what the target's tokens `(batch, steps, hidden_size)` become."""
        target = self._embed(target, target_mask, self.has_positions[0])
        source = self._embed(source, source_mask, self.has_positions[1])
        # Nothing of an absent source is seen but equal zeros, however many.
        attended = attention_mask_of(source_mask, target.shape[1])
        for layer in self.layers:
            target = layer(target, attended, source, **kwargs)
        return self.norm(target)

    def _embed(self, tokens: torch.Tensor, mask: torch.Tensor, has_positions: bool) -> torch.Tensor:
        if has_positions:
            positions = sinusoidal_positions(*tokens.shape[1:], tokens.device, tokens.dtype)
            tokens = math.sqrt(tokens.shape[-1]) * tokens + positions
        return self.dropout(tokens * mask.unsqueeze(-1).to(tokens.dtype))


class CrossModalTransformers(nn.Module):
    """
    MulT (Tsai et al. 2019): every modality attends to each other one, then to itself, and gives one vector.

    Of a target the results of all directions are put side by side, a self-attention encoder of that width ("memory", at
    least 3 layers) reads them, and `selection_pooling` makes a vector; the paper takes the last step. A residual block follows.
    """

    def __init__(self, config, streams: nn.Module):
        super().__init__()
        names, size = config.modalities, config.hidden_size
        width = (len(names) - 1) * size
        self.projections = nn.ModuleDict(
            {
                name: nn.Linear(tokens, size, bias=False)
                for name, tokens in streams.token_sizes.items()
                if tokens != size
            }
        )
        self.crossed = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: CrossModalEncoder(config, target, source) for source in names if source != target}
                )
                for target in names
            }
        )
        self.memories = nn.ModuleDict({name: wide_encoder(config, width, name) for name in names})
        self.pool = last_step if config.selection_pooling == "last" else masked_mean
        self.fused_size = len(names) * width
        self.expand = nn.Linear(self.fused_size, self.fused_size)
        self.contract = nn.Linear(self.fused_size, self.fused_size)
        self.dropout = nn.Dropout(config.classifier_dropout)

    def forward(self, streams: dict[str, Stream], **kwargs) -> torch.Tensor:
        tokens, masks = {}, {}
        for name, stream in streams.items():
            tokens[name], masks[name] = stream.as_sequence()
            if name in self.projections:
                tokens[name] = self.projections[name](tokens[name])
        pooled = []
        for target, directions in self.crossed.items():
            reinforced = [
                encoder(tokens[target], tokens[source], masks[target], masks[source], **kwargs)
                for source, encoder in directions.items()
            ]
            memory = self.memories[target](torch.cat(reinforced, dim=-1), masks[target], **kwargs)
            pooled.append(self.pool(memory, masks[target]))
        fused = torch.cat(pooled, dim=1)
        return fused + self.contract(self.dropout(nn.functional.relu(self.expand(fused))))


def wide_encoder(config, width: int, name: str) -> SelectionEncoder:
    """A self-attention encoder of another width than `hidden_size`, which follows the model's attention implementation."""
    wide = copy.copy(config)
    wide.hidden_size, wide.num_hidden_layers = width, max(3, config.num_hidden_layers)
    wide.intermediate_size = config.intermediate_size * width // config.hidden_size
    encoder = SelectionEncoder(wide, has_positions=name not in config.static_features)
    for module in encoder.modules():
        if isinstance(module, SelfAttention):
            module.config = config
    return encoder


class CfnSrBlock(nn.Module):
    """
    The block of CFN-SR (Fu et al. 2021), clip by clip: encoded audio weighs the positions of the video map.

    `a` is the last step of a causal encoder over the audio map, `P = softmax(wᵀ tanh(W_v V + b + W_a a))` over the positions
    of each slot, `V' = V P + V`. The classifier sees the mean of `V'` and the flattened audio map before that encoder.
    """

    def __init__(self, config, streams: nn.Module):
        super().__init__()
        self.fused_size = sum(streams.readout_sizes.values())
        self.encoder = SelectionEncoder(config, is_causal=True)
        self.video = nn.Linear(streams.token_sizes["video"], config.hidden_size)
        self.audio = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.score = nn.Linear(config.hidden_size, 1)

    def forward(self, streams: dict[str, Stream], **kwargs) -> torch.Tensor:
        audio, video = streams["audio"], streams["video"]
        guide = last_step(self.encoder(audio.tokens, audio.mask, **kwargs), audio.mask)
        scores = self.score(torch.tanh(self.video(video.tokens) + self.audio(guide)[:, None, None]))
        weights = masked_softmax(scores.squeeze(-1), video.mask)  # (batch, slots, positions)
        reinforced = video.tokens * weights.unsqueeze(-1) + video.tokens
        pooled = masked_mean(reinforced.flatten(1, 2), video.mask.flatten(1))
        return torch.cat([pooled, audio.readout], dim=1)


def averaged_scores(own: torch.Tensor, present: torch.Tensor, is_multi_label: bool) -> torch.Tensor:
    """
    Logits of the mean probability of the classifiers that have something to judge.

    Args:
        own (`torch.FloatTensor` of shape `(modalities, batch, num_labels)`): logits of each modality's classifier.
        present (`torch.BoolTensor` of shape `(modalities, batch, 1)`): which clips have it.
        is_multi_label (`bool`): whether each label is a yes/no question of its own.
    """
    if is_multi_label:
        yes, no = nn.functional.logsigmoid(own.float()), nn.functional.logsigmoid(-own.float())
        return (masked_log_sum(yes, present) - masked_log_sum(no, present)).to(own.dtype)
    total = masked_log_sum(own.float().log_softmax(-1), present)
    return (total - present.sum(0).clamp(min=1).log()).to(own.dtype)


def masked_log_sum(logs: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum over present modalities of what `logs` are the logarithms of; 0 where there are none."""
    total = logs.masked_fill(~present, torch.finfo(logs.dtype).min).logsumexp(0)
    return total.masked_fill(~present.any(0), 0.0)


def multiplied_scores(own: torch.Tensor, present: torch.Tensor, is_multi_label: bool) -> torch.Tensor:
    """Logits of the product of the present classifiers' probabilities; arguments as in `averaged_scores`."""
    logs = own if is_multi_label else own.float().log_softmax(-1)
    return (logs * present).sum(0).to(own.dtype)


def multiplicative_scores(own: torch.Tensor, present: torch.Tensor, beta: float) -> torch.Tensor:
    """
    `Σ_m q_m log p_m` with `q_m = Π_{j≠m} (1 - p_j)^(β / (M - 1))` over the M modalities that a clip has (Liu et al. 2018).

    Where another modality is sure of a class, this one counts less for it. The class with the highest score is predicted,
    and minus the true class's score is the loss; as in the released code no gradient flows through `q`. Arguments as in
    `averaged_scores`.
    """
    logs = own.float().log_softmax(-1)
    doubts = (-torch.expm1(logs.detach())).clamp(min=1e-12).log() * present  # log(1 - p)
    others = (present.sum(0) - 1).clamp(min=1)
    down_weights = ((doubts.sum(0) - doubts) * (beta / others)).exp()
    return (down_weights * logs * present).sum(0).to(own.dtype)
