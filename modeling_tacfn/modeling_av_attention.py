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
"""The pre-LN Transformer encoder by which a modality selects its own useful features (TACFN, CFN-SR)."""

import math
from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Plain attention that also returns its weights `(batch, heads, steps, steps)`."""
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = nn.functional.dropout(scores.softmax(-1), p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def sinusoidal_positions(steps: int, size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Table `(steps, size)`: sines then cosines, positions from 1, as in fairseq and MulT."""
    half = size // 2
    frequency = torch.exp(torch.arange(half, device=device) * (-math.log(10000) / max(half - 1, 1)))
    angle = torch.arange(1, steps + 1, device=device)[:, None] * frequency
    table = torch.cat([angle.sin(), angle.cos()], dim=1)
    return nn.functional.pad(table, (0, size - 2 * half)).to(dtype)


def attention_mask_of(mask: torch.Tensor, steps: int) -> torch.Tensor:
    """
    The mask `(batch, 1, steps, keys)` with which `steps` tokens attend to the keys that `mask` `(batch, keys)` calls real.

    A clip without any key attends to its padding: finite numbers, which the caller then drops.
    """
    return (mask | ~mask.any(1, keepdim=True))[:, None, None, :].expand(-1, -1, steps, -1)


class SelfAttention(nn.Module):
    """Multi-head attention by the function that `config._attn_implementation` names; to itself, or to a given source."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_size**-0.5
        self.is_causal = False
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states, attention_mask=None, source=None, **kwargs):
        batch, steps, _ = hidden_states.shape
        source = hidden_states if source is None else source
        heads = (batch, -1, self.query.out_features // self.head_size, self.head_size)
        query = self.query(hidden_states).view(heads).transpose(1, 2)  # (batch, heads, steps, head_size)
        key = self.key(source).view(heads).transpose(1, 2)  # (batch, heads, source steps, head_size)
        value = self.value(source).view(heads).transpose(1, 2)
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        context, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            scaling=self.scaling,
            dropout=self.config.attention_dropout if self.training else 0.0,
            **kwargs,
        )
        return self.output(context.reshape(batch, steps, -1)), weights


class EncoderLayer(GradientCheckpointingLayer):
    """Attention (to itself, or to a given source) then feed-forward, each after a layer norm and added to its input."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation_dropout = nn.Dropout(config.activation_dropout)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states, attention_mask=None, source=None, **kwargs):
        source = None if source is None else self.attention_norm(source)
        attended, _ = self.attention(self.attention_norm(hidden_states), attention_mask, source, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        expanded = nn.functional.relu(self.expand(self.feed_forward_norm(hidden_states)))
        return hidden_states + self.dropout(self.contract(self.activation_dropout(expanded)))


class SelectionEncoder(nn.Module):
    """
    A stack of encoder layers over the tokens of one modality.

    Args:
        config: gives the sizes (`hidden_size`, `num_hidden_layers`, `num_attention_heads`, …) and dropouts.
        has_positions (`bool`, *optional*, defaults to `True`): whether tokens are ordered in time. Units are not.
        is_causal (`bool`, *optional*, defaults to `False`): whether a step attends to itself and earlier steps only.
    """

    def __init__(self, config, has_positions: bool = True, is_causal: bool = False):
        super().__init__()
        self.has_positions = has_positions
        self.is_causal = is_causal
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size) if config.num_hidden_layers else nn.Identity()

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, **kwargs) -> torch.Tensor:
        """Select among `tokens` `(batch, steps, hidden_size)`; `mask` `(batch, steps)` is 1 for real steps."""
        if not self.layers:
            return tokens
        hidden_states = tokens
        if self.has_positions:
            positions = sinusoidal_positions(*tokens.shape[1:], tokens.device, tokens.dtype)
            hidden_states = math.sqrt(tokens.shape[-1]) * tokens + positions
        hidden_states = self.dropout(hidden_states)
        attention_mask = attention_mask_of(mask, mask.shape[1])
        if self.is_causal:
            attention_mask = attention_mask.tril()
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, **kwargs)
        return self.norm(hidden_states)
