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
AVT-CA: audio-video Transformer fusion with cross-attention (Venkatraman et al., arXiv 2407.18552).

In the order of the paper's figure: EfficientFace for every frame and 1-D convolutions over MFCC; an intermediate
Transformer fusion in which each modality looks at the other; two more convolutions each; self- then cross-attention; the
maximum over time; the sum of both modalities. No attention knows the order of its tokens; only the convolutions do. What
the released code does instead is chosen by the configuration. It knows no masks: those, and what happens when a modality is
absent, are ours.
"""

import itertools
from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_avt_ca import AvtCaConfig
from .modeling_av_attention import attention_mask_of, eager_attention_forward
from .modeling_av_common import (
    AudioVideoOutput,
    AudioVideoPreTrainedModel,
    Standardize,
    check_audio_video,
    full_mask,
    joint_loss,
    masked_max,
    masked_mean,
)
from .modeling_av_efficientface import SMALLEST_SIDE, EfficientFace


class AvtCaAudioConvolution(nn.Module):
    """Convolution without padding, then the maximum of each two neighbouring steps: 3 steps fewer."""

    lost_steps = 3

    def __init__(self, in_size: int, out_size: int):
        super().__init__()
        self.convolution = nn.Conv1d(in_size, out_size, 3)
        self.norm = nn.BatchNorm1d(out_size)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(batch, steps, in_size)` → `(batch, steps - 3, out_size)`; a step is real if all steps that it saw are."""
        hidden = nn.functional.relu(self.norm(self.convolution(tokens.transpose(1, 2))))
        # A pooling of 2 with stride 1, in a way that torch.export follows for any number of steps.
        pooled = torch.maximum(hidden[..., :-1], hidden[..., 1:])
        return pooled.transpose(1, 2), mask[:, self.lost_steps :]


class AvtCaVideoConvolution(nn.Module):
    """Convolution over frames that keeps their number; what is padded is zero, like what a convolution pads with."""

    def __init__(self, in_size: int, out_size: int):
        super().__init__()
        self.convolution = nn.Conv1d(in_size, out_size, 3, padding=1)
        self.norm = nn.BatchNorm1d(out_size)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(batch, frames, in_size)` → `(batch, frames, out_size)`."""
        tokens = tokens * mask.unsqueeze(-1).to(tokens.dtype)
        return nn.functional.relu(self.norm(self.convolution(tokens.transpose(1, 2)))).transpose(1, 2), mask


class AvtCaConvolutions(nn.ModuleList):
    """Convolutions of one modality, one after the other."""

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for convolution in self:
            tokens, mask = convolution(tokens, mask)
        return tokens, mask


class AvtCaAttention(nn.Module):
    """Multi-head attention with the function that `config._attn_implementation` names; how its inputs are made is left open."""

    def __init__(self, config: AvtCaConfig, size: int):
        super().__init__()
        self.config = config
        self.head_size = size // config.num_attention_heads
        self.scaling = self.head_size**-0.5
        self.is_causal = False
        self.output = nn.Linear(size, size)

    def attend(self, query, key, value, key_mask, **kwargs) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend from `(batch, steps, size)` to `(batch, keys, size)`; return new tokens and the weights."""
        query, key, value = (
            tokens.unflatten(2, (-1, self.head_size)).transpose(1, 2) for tokens in (query, key, value)
        )  # (batch, heads, steps, head_size)
        attention_mask = attention_mask_of(key_mask, query.shape[2])
        # Written out here too: the library looks for this call in the file of every network with an attention of its own.
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
        return self.output(context.flatten(2)), weights


class AvtCaCrossAttention(AvtCaAttention):
    """From the tokens of one modality to those of the other, without biases, as in the released fusion block."""

    def __init__(self, config: AvtCaConfig, size: int, source_size: int):
        super().__init__(config, size)
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(source_size, 2 * size, bias=False)

    def forward(self, tokens, source, source_mask, **kwargs):
        key, value = self.key_value(source).chunk(2, dim=2)
        return self.attend(self.query(tokens), key, value, source_mask, **kwargs)


class AvtCaSelfAttention(AvtCaAttention):
    """Among the tokens of one modality, with biases, as torch's own attention in the released code."""

    def __init__(self, config: AvtCaConfig, size: int):
        super().__init__(config, size)
        self.query_key_value = nn.Linear(size, 3 * size)

    def forward(self, tokens, mask, **kwargs):
        return self.attend(*self.query_key_value(tokens).chunk(3, dim=2), mask, **kwargs)


class AvtCaFusionBlock(GradientCheckpointingLayer):
    """
    The intermediate Transformer fusion of one direction: what a modality takes from the other.

    Returns what is added to `tokens`; 0 for a clip that lacks the other modality (ours), so that it keeps its own.
    """

    def __init__(self, config: AvtCaConfig, size: int, source_size: int):
        super().__init__()
        self.token_norm = nn.LayerNorm(size)
        self.source_norm = nn.LayerNorm(source_size)
        self.attention = AvtCaCrossAttention(config, size, source_size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, config.feed_forward_ratio * size)
        self.contract = nn.Linear(config.feed_forward_ratio * size, size)

    def forward(self, tokens, source, source_mask, **kwargs):
        taken, _ = self.attention(self.token_norm(tokens), self.source_norm(source), source_mask, **kwargs)
        taken = taken + self.contract(nn.functional.gelu(self.expand(self.feed_forward_norm(taken))))
        return taken * _is_present(source_mask, taken)


class AvtCaSelfThenCross(nn.Module):
    """
    The paper's final attention: every modality attends to itself, then to what the other made of itself.

    Both are added to what they start from. The paper says so of self-attention; of cross-attention it is ours, because a
    clip that lacks one modality then keeps the tokens of the other. No norm is between them: none was found in the paper.
    """

    def __init__(self, config: AvtCaConfig, size: int):
        super().__init__()
        names = config.modalities
        self.own = nn.ModuleDict({name: AvtCaSelfAttention(config, size) for name in names})
        self.cross = nn.ModuleDict({name: AvtCaCrossAttention(config, size, size) for name in names})

    def forward(self, streams: dict, **kwargs) -> dict:
        own = {}
        for name, (tokens, mask) in streams.items():
            own[name] = (tokens + self.own[name](tokens, mask, **kwargs)[0], mask)
        if len(own) < 2:
            return own
        crossed = {}
        for name, (tokens, mask) in own.items():
            source, source_mask = own[_other(name)]
            taken, _ = self.cross[name](tokens, source, source_mask, **kwargs)
            crossed[name] = (tokens + taken * _is_present(source_mask, taken), mask)
        return crossed


class AvtCaSharedSelfAttention(nn.Module):
    """The released code's final attention: every modality attends to itself, both with the same weights, no residual."""

    def __init__(self, config: AvtCaConfig, size: int):
        super().__init__()
        self.attention = AvtCaSelfAttention(config, size)

    def forward(self, streams: dict, **kwargs) -> dict:
        return {name: (self.attention(tokens, mask, **kwargs)[0], mask) for name, (tokens, mask) in streams.items()}


FINAL_ATTENTIONS = {"cross": AvtCaSelfThenCross, "shared_self": AvtCaSharedSelfAttention}


class AvtCaFusion(nn.Module):
    """
    Encoders and fusion: both modalities to one vector per clip.

    Inside, `streams` holds for each modality that is there its tokens `(batch, steps, size)` and their mask.
    """

    def __init__(self, config: AvtCaConfig):
        super().__init__()
        self.config = config
        self.audio_standardize = Standardize(config.audio_coefficients)
        self.video_encoder = EfficientFace(
            config.video_stem_channels,
            config.video_stage_channels,
            config.video_stage_depths,
            config.video_feature_size,
            config.video_attention_size,
            config.video_attention,
        )
        audio_sizes = (config.audio_coefficients, *config.audio_channels)
        video_sizes = (config.video_feature_size, *config.video_channels)
        audio = [AvtCaAudioConvolution(*sizes) for sizes in itertools.pairwise(audio_sizes)]
        video = [AvtCaVideoConvolution(*sizes) for sizes in itertools.pairwise(video_sizes)]
        self.shortest = 1 + sum(convolution.lost_steps for convolution in audio)
        self.early = nn.ModuleDict({"audio": AvtCaConvolutions(audio[:2]), "video": AvtCaConvolutions(video[:2])})
        self.late = nn.ModuleDict({"audio": AvtCaConvolutions(audio[2:]), "video": AvtCaConvolutions(video[2:])})
        if config.intermediate_fusion:
            sizes = {"audio": audio_sizes[2], "video": video_sizes[2]}
            self.intermediate = nn.ModuleDict(
                {name: AvtCaFusionBlock(config, size, sizes[_other(name)]) for name, size in sizes.items()}
            )
        if config.final_attention != "none":
            self.final_attention = FINAL_ATTENTIONS[config.final_attention](config, audio_sizes[-1])
        self.pool = masked_max if config.pooling == "max" else masked_mean
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.token_size = audio_sizes[-1]
        self.pooled_size = self.token_size if config.combination == "sum" else 2 * self.token_size

    def forward(self, input_features, audio_mask, pixel_values_videos, video_mask, **kwargs):
        """
        Return the fused vector `(batch, pooled_size)`, and by modality its own vector before any fusion with a mask
        `(batch,)` of the clips that have it.
        """
        streams = {}
        if input_features is not None:
            streams["audio"] = self.early["audio"](*self._audio_tokens(input_features, audio_mask))
        if pixel_values_videos is not None:
            frames = self.video_encoder(pixel_values_videos.flatten(0, 1))
            streams["video"] = self.early["video"](frames.unflatten(0, pixel_values_videos.shape[:2]), video_mask)

        alone = {}
        if self.config.modality_loss_weight:
            for name, stream in streams.items():
                tokens, mask = self.late[name](*stream)
                alone[name] = (masked_mean(tokens, mask), mask.any(1))
        if self.config.intermediate_fusion and len(streams) == 2:
            streams = {
                name: (tokens + self.intermediate[name](tokens, *streams[_other(name)], **kwargs), mask)
                for name, (tokens, mask) in streams.items()
            }
        streams = {name: self.late[name](*stream) for name, stream in streams.items()}
        if self.config.final_attention != "none":
            streams = self.final_attention(streams, **kwargs)

        pooled = {name: self.pool(*stream) for name, stream in streams.items()}
        if self.config.combination == "sum":
            return self.dropout(sum(pooled.values())), alone
        present = next(iter(pooled.values()))
        both = [pooled.get(name, torch.zeros_like(present)) for name in self.config.modalities]
        return self.dropout(torch.cat(both, dim=1)), alone

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {"audio": self.audio_standardize}

    def _audio_tokens(self, input_features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardise; a clip too short for the convolutions is read as if zeros followed it."""
        tokens = self.audio_standardize(input_features) * mask.unsqueeze(-1).to(input_features.dtype)
        missing = max(0, self.shortest - tokens.shape[1])
        tokens, mask = nn.functional.pad(tokens, (0, 0, 0, missing)), nn.functional.pad(mask, (0, missing))
        needed = torch.arange(mask.shape[1], device=mask.device) < self.shortest
        return tokens, mask | (needed & mask.any(1, keepdim=True))


class AvtCaPreTrainedModel(AudioVideoPreTrainedModel):
    """What loads, saves and records the parts of AVT-CA."""

    config_class = AvtCaConfig
    base_model_prefix = "avt_ca"
    _no_split_modules = ["AvtCaFusionBlock", "InvertedResidual"]
    _can_record_outputs = {
        "hidden_states": OutputRecorder(AvtCaConvolutions, index=0, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(AvtCaAttention, index=1),
    }


class AvtCaModel(AvtCaPreTrainedModel):
    """
    The whole network with its classifier, in the form that `config` describes.

    It serves `AutoModel`, `AutoModelForVideoClassification` and `AutoModelForAudioClassification` alike: either modality
    may be absent, for the whole batch (leave the argument out) or for single clips (an all-zero mask row).
    """

    def __init__(self, config: AvtCaConfig):
        super().__init__(config)
        self.fusion = AvtCaFusion(config)
        self.classifier = nn.Linear(self.fusion.pooled_size, config.num_labels)
        if config.modality_classifiers:
            self.modality_classifiers = nn.ModuleDict(
                {name: nn.Linear(self.fusion.token_size, config.num_labels) for name in config.modalities}
            )
        self.post_init()

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        video_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> AudioVideoOutput:
        r"""
        Classify clips.

        Args:
            input_features (`torch.FloatTensor` of shape `(batch_size, steps, coefficients)`, *optional*):
                MFCC; 156 steps in the released code, any number here.
            pixel_values_videos (`torch.FloatTensor` of shape `(batch_size, frames, 3, height, width)`, *optional*):
                Face crops, in the channel order and on the scale of this model's processor.
            audio_mask (`torch.BoolTensor` of shape `(batch_size, steps)`, *optional*):
                1 for real steps, 0 for padding, which comes last. Defaults to all real.
            video_mask (`torch.BoolTensor` of shape `(batch_size, frames)`, *optional*):
                1 for real frames, 0 for padding. Defaults to all real.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Class indices; or probabilities `(batch_size, num_labels)` for mixed clips; or 0/1 answers
                `(batch_size, num_labels)` when `config.problem_type` is `"multi_label_classification"`.

        Returns:
            [`AudioVideoOutput`]. `weight_vectors` is empty: this network attends instead. `hidden_states` are the tokens of
            audio, then video, after their first two convolutions and after their last two. `attentions` are
            `(batch_size, heads, steps, keys)`: of the intermediate fusion (audio over video, video over audio), then of the
            final attention.

        Raises:
            ValueError: if no modality is given, or one has another rank or size than the configuration says.
        """
        if kwargs.pop("features", None):
            raise ValueError(
                "AVT-CA takes `input_features` and `pixel_values_videos`, not named features; leave `features` out, or load "
                "a TACFN network in the feature form."
            )
        check_audio_video(input_features, pixel_values_videos, self.config.audio_coefficients)
        if input_features is not None:
            audio_mask = full_mask(input_features) if audio_mask is None else audio_mask.bool()
        if pixel_values_videos is not None:
            if min(pixel_values_videos.shape[3:]) < SMALLEST_SIDE:
                raise ValueError(
                    f"`pixel_values_videos` must be at least {SMALLEST_SIDE} pixels high and wide, got "
                    f"{tuple(pixel_values_videos.shape)}; make it with this model's own processor."
                )
            video_mask = full_mask(pixel_values_videos) if video_mask is None else video_mask.bool()
        fused, alone = self.fusion(input_features, audio_mask, pixel_values_videos, video_mask, **kwargs)

        logits = self.classifier(fused)
        modality_logits = {name: self.modality_classifiers[name](own) for name, (own, _) in alone.items()}
        present = {name: has_modality for name, (_, has_modality) in alone.items()}
        return AudioVideoOutput(
            loss=joint_loss(self.config, labels, logits, modality_logits, present),
            logits=logits,
            pooler_output=fused,
            weight_vectors={},
            modality_logits=modality_logits or None,
        )


def _other(name: str) -> str:
    return "video" if name == "audio" else "audio"


def _is_present(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """1 for the clips that have the modality of this mask, 0 for the others, `(batch, 1, 1)`."""
    return mask.any(1)[:, None, None].to(like.dtype)


__all__ = ["AvtCaModel", "AvtCaPreTrainedModel"]
