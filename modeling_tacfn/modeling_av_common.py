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
"""What every network of this package shares: the output, masks and masked pooling, the loss, loading and saving."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput


AUTO_CLASSES = ("AutoModel", "AutoModelForVideoClassification", "AutoModelForAudioClassification")


@dataclass
class AudioVideoOutput(ModelOutput):
    """
    What a network of this package returns.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*):
            Mean classification loss, when `labels` were given.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Scores before softmax (or before the sigmoid when the labels are independent yes/no questions).
        pooler_output (`torch.FloatTensor` of shape `(batch_size, pooled_size)`):
            The fused vector of each clip, as the classifier sees it.
        weight_vectors (`dict[str, torch.FloatTensor]`, *optional*):
            For each reinforced modality its fused weight vector: `(batch_size, slots, height, width)` for video,
            `(batch_size, steps)` for a sequence, `(batch_size, units)` for a static feature. Padding has weight 0.
        modality_logits (`dict[str, torch.FloatTensor]`, *optional*):
            What each modality's own classifier says before any reinforcement, `(batch_size, num_labels)`; only with
            `config.modality_loss_weight` above 0. Of a clip without that modality it says nothing meaningful.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*):
            Tokens after each layer of the selection encoders, one encoder after the other.
        attentions (`tuple[torch.FloatTensor]`, *optional*):
            Attention weights `(batch_size, heads, steps, steps)` of those layers; eager attention only.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    weight_vectors: dict[str, torch.FloatTensor] | None = None
    modality_logits: dict[str, torch.FloatTensor] | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


def full_mask(values: torch.Tensor) -> torch.Tensor:
    """The mask `(batch, steps)` of values `(batch, steps, ...)` that hold no padding."""
    return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)


def prefix_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Mask `(batch, size)` whose first `lengths[b]` steps are real."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `values` `(batch, steps, size)` over real steps; zeros for a clip that has none."""
    weights = mask.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Maximum of `values` `(batch, steps, size)` over real steps; zeros for a clip that has none."""
    largest = values.masked_fill(~mask.unsqueeze(-1), torch.finfo(values.dtype).min).amax(1)
    return largest.masked_fill(~mask.any(1, keepdim=True), 0.0)


def masked_statistics(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean, maximum and standard deviation over real steps `(batch, 3 * size)`; zeros for a clip that has none."""
    mean = masked_mean(values, mask)
    spread = (masked_mean((values - mean[:, None]) ** 2, mask) + 1e-4).sqrt()
    return torch.cat([mean, masked_max(values, mask), spread * mask.any(1, keepdim=True)], dim=1)


def last_step(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last real step of `values` `(batch, steps, size)`; zeros for a clip that has none."""
    steps = torch.arange(values.shape[1], device=values.device)
    last = torch.where(mask, steps, -1).amax(1)
    chosen = (steps == last[:, None]).to(values.dtype)
    return torch.einsum("bs,bsd->bd", chosen, values)


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Softmax over the last dimension; masked positions, and all positions of an absent modality, get 0."""
    if mask is None:
        return scores.softmax(-1)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) * mask.to(scores.dtype)


def adaptive_bins(values: torch.Tensor, lengths: torch.Tensor, bins: int) -> torch.Tensor:
    """
    Average the first `lengths[b]` steps of `values` `(batch, steps, size)` into `(batch, bins, size)`.

    The bins are those of `nn.AdaptiveAvgPool1d`, for each clip over its own length; an absent clip gives zeros.
    """
    bin_index = torch.arange(bins, device=values.device)
    start = bin_index * lengths[:, None] // bins
    end = -((-(bin_index + 1) * lengths[:, None]) // bins)  # ceiling
    steps = torch.arange(values.shape[1], device=values.device)
    inside = (steps >= start[..., None]) & (steps < end[..., None])
    weights = inside.to(values.dtype) / (end - start).clamp(min=1)[..., None]
    return weights @ values


def classification_loss(
    logits: torch.Tensor, labels: torch.Tensor, problem_type: str | None, present: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Cross-entropy over K classes (`labels` are indices or, for mixed clips, probabilities), or of K yes/no questions, or the
    absolute error of K numbers (as MulT trains on sentiment).

    The mean is over the clips of the mask `present` `(batch,)`, if it is given; 0 if there are none.
    """
    logits = logits.float()
    if problem_type == "multi_label_classification":
        losses = nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(1)
    elif problem_type == "regression":
        losses = (logits - labels.float()).abs().mean(1)
    else:
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    if present is None:
        return losses.mean()
    return (losses * present).sum() / present.sum().clamp(min=1)


def joint_loss(
    config,
    labels: torch.Tensor | None,
    logits: torch.Tensor,
    modality_logits: dict[str, torch.Tensor],
    present: dict[str, torch.Tensor],
) -> torch.Tensor | None:
    """
    The loss of a network, and with `config.modality_loss_weight` that of each modality's own classifier.

    Args:
        config: gives `problem_type` and `modality_loss_weight`.
        labels (`torch.Tensor`, *optional*): as in [`classification_loss`]; `None` gives `None`.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): of the whole network.
        modality_logits (`dict[str, torch.FloatTensor]`): of each modality's own classifier, of the same shape.
        present (`dict[str, torch.BoolTensor]`): by modality, `(batch_size,)`, 1 for the clips that have it.
    """
    if labels is None:
        return None
    loss = classification_loss(logits, labels, config.problem_type)
    if not modality_logits:
        return loss
    own_losses = [
        classification_loss(own_logits, labels, config.problem_type, present[name])
        for name, own_logits in modality_logits.items()
    ]
    return loss + config.modality_loss_weight * sum(own_losses)


def flat_bins(audio: torch.Tensor, lengths: torch.Tensor, bins: int) -> torch.Tensor:
    """The audio map at a fixed number of steps, flattened channel by channel over time, as CFN-SR's released code does."""
    return adaptive_bins(audio, lengths, bins).transpose(1, 2).flatten(1)


def check_audio_video(input_features, pixel_values_videos, coefficients: int) -> None:
    """Refuse a call without any input, and inputs of another rank or size than the network takes."""
    if input_features is None and pixel_values_videos is None:
        raise ValueError("Give `input_features`, `pixel_values_videos`, or both; got neither.")
    if input_features is not None and (input_features.ndim != 3 or input_features.shape[-1] != coefficients):
        raise ValueError(
            f"`input_features` must be (batch, steps, {coefficients}), got {tuple(input_features.shape)}; make it with this "
            "model's own feature extractor."
        )
    if pixel_values_videos is not None and (pixel_values_videos.ndim != 5 or pixel_values_videos.shape[2] != 3):
        raise ValueError(
            f"`pixel_values_videos` must be (batch, frames, 3, height, width), got {tuple(pixel_values_videos.shape)}; "
            "make it with this model's own processor."
        )


class AudioVideoPreTrainedModel(PreTrainedModel):
    """Initialisation, saving and the capabilities that all networks of this package have."""

    main_input_name = "input_features"
    input_modalities = ("audio", "video")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    # The library's normal(0, 0.02) would start a 3-D CNN far too small; every layer is set here.
    # trf-ignore: TRF018
    def _init_weights(self, module):
        init_audio_video_weights(module, self.config.initializer_range)

    def get_input_embeddings(self):
        """None: there is no vocabulary. `accelerate` asks before it shards a network."""
        return None

    def save_pretrained(self, *args, **kwargs):
        """Save as the base class does; the configuration then names every auto class that loads this network."""
        if self._auto_class is not None:
            # The library itself would name the one class that was registered or loaded last.
            own = f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"
            self.config.auto_map = (getattr(self.config, "auto_map", None) or {}) | dict.fromkeys(AUTO_CLASSES, own)
        super().save_pretrained(*args, **kwargs)


def init_audio_video_weights(module: nn.Module, std: float) -> None:
    """3-D convolutions as in ResNeXt's code (Kaiming, fan out); other weights as torch starts them, like the papers' code."""
    if isinstance(module, nn.Conv3d):
        init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Linear) and module.out_features == 1:
        init.normal_(module.weight, std=std)  # a score per position starts close to uniform weights
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        if module.bias is not None:
            bound = 1 / math.sqrt(module.weight[0].numel())
            init.uniform_(module.bias, -bound, bound)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        init.ones_(module.weight)
        init.zeros_(module.bias)
        init.zeros_(module.running_mean)
        init.ones_(module.running_var)
        init.zeros_(module.num_batches_tracked)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, UnitTokens):
        init.normal_(module.weight, std=2 / math.sqrt(module.weight.shape[-1]))
        init.normal_(module.bias, std=2 / math.sqrt(module.bias.shape[-1]))
    elif isinstance(module, Standardize):
        init.zeros_(module.mean)
        init.ones_(module.std)


class Standardize(nn.Module):
    """
    Centre and scale a feature by statistics of the training speakers, kept as persistent buffers so that they travel
    with the weights. Until `fit` is called it is the identity.
    """

    def __init__(self, size: int):
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(size))
        self.std = nn.Buffer(torch.ones(size))

    def fit(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Set the statistics, both of shape `(size,)`; a constant feature is only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (values - self.mean) / self.std


class UnitTokens(nn.Module):
    """Turn one vector per clip `(batch, units)` into a token per unit `(batch, units, hidden_size)`."""

    def __init__(self, units: int, hidden_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, hidden_size))
        self.bias = nn.Parameter(torch.empty(units, hidden_size))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.unsqueeze(-1) * self.weight + self.bias
