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
TACFN: transformer-based adaptive cross-modal fusion (Liu et al. 2023; arXiv 2505.06536).

The three steps of its abstract, each a class or a line below: (a) a modality selects its own useful features by
self-attention; (b) selected and target features are spliced into one fused weight vector; (c) the weight vector
reinforces the target, with a residual. Its equations could not be read, and its public code holds no TACFN; the formulas
are ours, made so that the published sizes come out exactly.
"""

import torch
from torch import nn
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_tacfn import TacfnConfig
from .modeling_av_attention import EncoderLayer, SelectionEncoder, SelfAttention
from .modeling_av_audio import MfccEncoder, SpectrogramEncoder
from .modeling_av_common import (
    AudioVideoOutput,
    AudioVideoPreTrainedModel,
    Standardize,
    UnitTokens,
    check_audio_video,
    flat_bins,
    full_mask,
    joint_loss,
    last_step,
    masked_mean,
    masked_softmax,
    masked_statistics,
    prefix_mask,
)
from .modeling_av_resnext import ResNext3d


class TacfnFusedWeight(nn.Module):
    """
    Steps (b) and (c) for one target: `e = wᵀ tanh(W [x ; z])`, `g = softmax(e)`, `x' = x + g x`.

    `W [x ; z]` is computed as `W_x x + W_z z`, the same linear map of the spliced vector without building it for every
    position. The softmax runs over the positions of one slot.
    """

    def __init__(self, config: TacfnConfig, target_size: int, selected_size: int):
        super().__init__()
        self.weight_scale = config.weight_scale
        self.has_residual = config.weight_residual
        self.target = nn.Linear(target_size, config.hidden_size)
        self.selected = nn.Linear(selected_size, config.hidden_size, bias=False) if selected_size else None
        self.score = nn.Linear(config.hidden_size, 1)

    def forward(
        self, tokens: torch.Tensor, selected: torch.Tensor | None, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Reinforce `tokens` `(batch, slots, positions, target_size)` by `selected` `(batch, selected_size)`.

        Returns the reinforced tokens and the weight vector `(batch, slots, positions)`; `mask` has that shape too.
        """
        spliced = self.target(tokens)
        if self.selected is not None:
            spliced = spliced + self.selected(selected)[:, None, None]
        weights = masked_softmax(self.score(torch.tanh(spliced)).squeeze(-1), mask)
        if self.weight_scale == "mean_one":
            weights = weights * mask.sum(-1, keepdim=True)
        weighted = weights.unsqueeze(-1) * tokens
        return tokens + weighted if self.has_residual else weighted, weights


class TacfnSelection(nn.Module):
    """Step (a): the selection encoder of one modality and the pooling of what it selected."""

    def __init__(self, config: TacfnConfig, has_positions: bool = True):
        super().__init__()
        self.encoder = SelectionEncoder(config, has_positions)
        self.pool = last_step if config.selection_pooling == "last" else masked_mean

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the selected tokens `(batch, steps, hidden_size)` and their pooled vector `(batch, hidden_size)`."""
        encoded = self.encoder(tokens, mask, **kwargs)
        return encoded, self.pool(encoded, mask)


class TacfnAudioVideoFusion(nn.Module):
    """The audio-video form: convolutional maps of both modalities, reinforced, pooled and concatenated."""

    def __init__(self, config: TacfnConfig):
        super().__init__()
        self.config = config
        self.map_size = 2 * config.video_widths[-1]
        self.video_encoder = ResNext3d(
            config.video_stem_channels, config.video_widths, config.video_depths, config.video_cardinality
        )
        self.audio_standardize = Standardize(config.audio_coefficients)
        self.audio_encoder = MfccEncoder(
            config.audio_coefficients, config.audio_channels, config.audio_pool_size, config.audio_dropout
        )
        if "video" in config.reinforced:
            self.audio_selection = TacfnSelection(config)
            self.video_weight = TacfnFusedWeight(config, self.map_size, config.hidden_size)
        if "audio" in config.reinforced:
            self.video_projection = nn.Linear(self.map_size, config.hidden_size)
            self.video_selection = TacfnSelection(config)
            self.audio_weight = TacfnFusedWeight(config, config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.readout_sizes = {"video": self.map_size, "audio": config.audio_bins * config.hidden_size}

    def forward(self, input_features, audio_mask, pixel_values_videos, video_mask, **kwargs):
        """
        Return the fused vector `(batch, pooled_size)`, the weight vectors by target, and by modality its own vector
        before reinforcement with a mask `(batch,)` of the clips that have it.
        """
        config = self.config
        present = pixel_values_videos if input_features is None else input_features
        audio = present.new_zeros(present.shape[0], 1, config.hidden_size)
        audio_lengths = torch.zeros(present.shape[0], dtype=torch.long, device=present.device)
        if input_features is not None:
            audio, audio_lengths = self.audio_encoder(
                self.audio_standardize(input_features), audio_mask
            )  # (B, P, hidden_size)
        audio_steps = prefix_mask(audio_lengths, audio.shape[1])
        pooled_video = present.new_zeros(present.shape[0], self.map_size)
        weight_vectors, alone = {}, {}

        selected_video = present.new_zeros(present.shape[0], config.hidden_size)
        if pixel_values_videos is not None:
            video, slots = self.video_encoder(pixel_values_videos, video_mask)  # (B, slots, h, w, map_size)
            height, width = video.shape[2:4]
            video = video.flatten(2, 3)  # (B, slots, positions, map_size)
            positions = slots[:, :, None].expand(video.shape[:3])
            if config.modality_loss_weight:
                alone["video"] = (masked_mean(video.flatten(1, 2), positions.flatten(1)), slots.any(1))
            if "audio" in config.reinforced:
                tokens = self.video_projection(video.flatten(1, 2))
                _, selected_video = self.video_selection(tokens, positions.flatten(1), **kwargs)
            if "video" in config.reinforced:
                _, selected_audio = self.audio_selection(audio, audio_steps, **kwargs)
                video, weights = self.video_weight(video, selected_audio, positions)
                weight_vectors["video"] = weights.unflatten(2, (height, width))
            pooled_video = masked_mean(video.flatten(1, 2), positions.flatten(1))

        if config.modality_loss_weight and input_features is not None:
            alone["audio"] = (self.dropout(flat_bins(audio, audio_lengths, config.audio_bins)), audio_lengths > 0)
        if "audio" in config.reinforced and input_features is not None:
            reinforced, weights = self.audio_weight(audio.unsqueeze(1), selected_video, audio_steps.unsqueeze(1))
            audio, weight_vectors["audio"] = reinforced.squeeze(1), weights.squeeze(1)
        fused = torch.cat([pooled_video, self.dropout(flat_bins(audio, audio_lengths, config.audio_bins))], dim=1)
        return fused, weight_vectors, alone

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {"audio": self.audio_standardize}


class TacfnFeatureInput(nn.Module):
    """One named feature of the feature form: standardised, then turned into tokens of `hidden_size`."""

    def __init__(self, config: TacfnConfig, name: str):
        super().__init__()
        size = config.feature_sizes[name]
        self.standardize = Standardize(size)
        self.limit = config.feature_limit
        self.is_static = name in config.static_features
        self.is_spectrogram = name in config.spectrogram_features
        if self.is_static:
            self.tokens = UnitTokens(size, config.hidden_size)
        elif self.is_spectrogram:
            self.tokens = SpectrogramEncoder(
                size,
                config.spectrogram_channels,
                config.spectrogram_time_strides,
                config.spectrogram_mel_strides,
                config.hidden_size,
                config.spectrogram_dropout,
            )
        else:
            self.tokens = nn.Linear(size, config.hidden_size, bias=False)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens `(batch, steps, hidden_size)`, zero where there is padding, and their mask."""
        values = self.standardize(values)
        if self.limit is not None:
            values = values.clamp(-self.limit, self.limit)
        if self.is_static:
            return self.tokens(values * mask.to(values.dtype)) * mask.unsqueeze(-1).to(values.dtype), mask
        values = values * mask.unsqueeze(-1).to(values.dtype)
        if self.is_spectrogram:
            return self.tokens(values, mask)
        return self.tokens(values), mask


class TacfnFeatureFusion(nn.Module):
    """The feature form: every named feature selects, every one in `reinforced` is reinforced by the others."""

    def __init__(self, config: TacfnConfig):
        super().__init__()
        self.config = config
        size, names = config.hidden_size, config.modalities
        self.inputs = nn.ModuleDict({name: TacfnFeatureInput(config, name) for name in names})
        self.selections = nn.ModuleDict(
            {name: TacfnSelection(config, has_positions=name not in config.static_features) for name in names}
        )
        self.weights = nn.ModuleDict(
            {name: TacfnFusedWeight(config, size, (len(names) - 1) * size) for name in config.reinforced}
        )
        # The units of a static feature are different things: only their mean is comparable between clips.
        self.has_statistics = {
            name: config.readout == "statistics" and name not in config.static_features for name in names
        }
        self.readout_sizes = {name: 3 * size if self.has_statistics[name] else size for name in names}
        self.dropout = nn.Dropout(config.classifier_dropout)
        pooled_size = sum(self.readout_sizes.values())
        self.head = nn.Linear(pooled_size, pooled_size)

    def forward(self, features: dict[str, torch.Tensor], masks: dict[str, torch.Tensor], **kwargs):
        """
        Return the fused vector `(batch, pooled_size)`, the weight vectors by target, and by modality its own vector
        before reinforcement with a mask `(batch,)` of the clips that have it.
        """
        present = next(iter(features.values()))
        absent = present.new_zeros(present.shape[0], self.config.hidden_size)
        targets, steps, selected = {}, {}, {}
        for name in features:
            tokens, steps[name] = self.inputs[name](features[name], masks[name])
            encoded, selected[name] = self.selections[name](tokens, steps[name], **kwargs)
            targets[name] = encoded if name in self.config.encoded_targets else tokens

        pooled, weight_vectors, alone = [], {}, {}
        for name in self.config.modalities:
            if name not in targets:
                pooled.append(present.new_zeros(present.shape[0], self.readout_sizes[name]))
                continue
            target = targets[name]
            if self.config.modality_loss_weight:
                alone[name] = (self.dropout(self._pool(name, target, steps[name])), steps[name].any(1))
            if name in self.weights:
                others = [selected.get(other, absent) for other in self.config.modalities if other != name]
                spliced = torch.cat(others, dim=1) if others else None
                reinforced, weights = self.weights[name](target.unsqueeze(1), spliced, steps[name].unsqueeze(1))
                target, weight_vectors[name] = reinforced.squeeze(1), weights.squeeze(1)
            pooled.append(self._pool(name, target, steps[name]))
        fused = self.dropout(torch.cat(pooled, dim=1))
        return fused + self.dropout(nn.functional.relu(self.head(fused))), weight_vectors, alone

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {name: feature_input.standardize for name, feature_input in self.inputs.items()}

    def _pool(self, name: str, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return masked_statistics(tokens, mask) if self.has_statistics[name] else masked_mean(tokens, mask)


class TacfnPreTrainedModel(AudioVideoPreTrainedModel):
    """What loads, saves and records the parts of TACFN."""

    config_class = TacfnConfig
    base_model_prefix = "tacfn"
    _no_split_modules = ["EncoderLayer", "ResNextBlock"]
    _can_record_outputs = {"hidden_states": EncoderLayer, "attentions": OutputRecorder(SelfAttention, index=1)}


class TacfnModel(TacfnPreTrainedModel):
    """
    The whole network with its classifier, in the form that `config` names.

    It serves `AutoModel`, `AutoModelForVideoClassification` and `AutoModelForAudioClassification` alike: either modality
    may be absent, for the whole batch (leave the argument out) or for single clips (an all-zero mask row).
    """

    def __init__(self, config: TacfnConfig):
        super().__init__(config)
        self.fusion = TacfnFeatureFusion(config) if config.feature_sizes else TacfnAudioVideoFusion(config)
        sizes = self.fusion.readout_sizes
        self.classifier = nn.Linear(sum(sizes.values()), config.num_labels)
        if config.modality_loss_weight:
            self.modality_classifiers = nn.ModuleDict(
                {name: nn.Linear(size, config.num_labels) for name, size in sizes.items()}
            )
        self.post_init()

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        video_mask: torch.Tensor | None = None,
        features: dict[str, torch.Tensor] | None = None,
        feature_masks: dict[str, torch.Tensor] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> AudioVideoOutput:
        r"""
        Classify clips.

        Args:
            input_features (`torch.FloatTensor` of shape `(batch_size, steps, coefficients)`, *optional*):
                MFCC, or log-mel where the feature `audio` is a spectrogram.
            pixel_values_videos (`torch.FloatTensor` of shape `(batch_size, frames, 3, height, width)`, *optional*):
                Normalised RGB face crops; audio-video form only.
            audio_mask (`torch.BoolTensor` of shape `(batch_size, steps)`, *optional*):
                1 for real steps, 0 for padding, which comes last. Defaults to all real.
            video_mask (`torch.BoolTensor` of shape `(batch_size, frames)`, *optional*):
                1 for real frames, 0 for padding. Defaults to all real.
            features (`dict[str, torch.FloatTensor]`, *optional*):
                Feature form: named sequences `(batch_size, steps, size)` or static vectors `(batch_size, size)`.
            feature_masks (`dict[str, torch.BoolTensor]`, *optional*):
                Their masks `(batch_size, steps)`, or `(batch_size, size)` for static vectors.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Class indices; or probabilities `(batch_size, num_labels)` for mixed clips; or 0/1 answers
                `(batch_size, num_labels)` when `config.problem_type` is `"multi_label_classification"`.

        Returns:
            [`AudioVideoOutput`]

        Raises:
            ValueError: if no modality is given, or one has another rank or size than the configuration says.
        """
        inputs = self._fusion_inputs(
            input_features, pixel_values_videos, audio_mask, video_mask, features, feature_masks
        )
        fused, weight_vectors, alone = self.fusion(*inputs, **kwargs)
        logits = self.classifier(fused)
        modality_logits = {name: self.modality_classifiers[name](own) for name, (own, _) in alone.items()}
        present = {name: has_modality for name, (_, has_modality) in alone.items()}
        return AudioVideoOutput(
            loss=joint_loss(self.config, labels, logits, modality_logits, present),
            logits=logits,
            pooler_output=fused,
            weight_vectors=weight_vectors,
            modality_logits=modality_logits or None,
        )

    def _fusion_inputs(
        self, input_features, pixel_values_videos, audio_mask, video_mask, features, feature_masks
    ) -> tuple:
        """What the fusion of this network's form takes, checked, with a mask for everything that is given."""
        if self.config.feature_sizes:
            if pixel_values_videos is not None:
                raise ValueError(
                    f"This network takes the features {list(self.config.feature_sizes)}, not `pixel_values_videos`; "
                    "leave the frames out, or load a network in the audio-video form."
                )
            return self._named_features(input_features, audio_mask, features, feature_masks)
        if features:
            raise ValueError(
                f"This network takes `input_features` and `pixel_values_videos`, not the features {sorted(features)}; "
                "load a network in the feature form."
            )
        check_audio_video(input_features, pixel_values_videos, self.config.audio_coefficients)
        if input_features is not None and audio_mask is None:
            audio_mask = full_mask(input_features)
        if pixel_values_videos is not None and video_mask is None:
            video_mask = full_mask(pixel_values_videos)
        return input_features, audio_mask, pixel_values_videos, video_mask

    def _named_features(self, input_features, audio_mask, features, feature_masks):
        """Gather the named features, with `input_features` as `audio`, in the order of the configuration."""
        sizes = self.config.feature_sizes
        features, masks = dict(features or {}), dict(feature_masks or {})
        if input_features is not None:
            features["audio"] = input_features
            if audio_mask is not None:
                masks["audio"] = audio_mask
        if not features:
            raise ValueError(f"Give at least one of the features {list(sizes)}; got none.")
        unknown = sorted(set(features) - set(sizes))
        if unknown:
            raise ValueError(
                f"This network knows the features {list(sizes)}, got {unknown}; rename or leave them out."
            )
        for name, values in features.items():
            rank = 2 if name in self.config.static_features else 3
            if values.ndim != rank or values.shape[-1] != sizes[name]:
                shape = f"(batch, {sizes[name]})" if rank == 2 else f"(batch, steps, {sizes[name]})"
                raise ValueError(f"Feature `{name}` must be {shape}, got {tuple(values.shape)}.")
            if masks.get(name) is None:
                masks[name] = torch.ones_like(values, dtype=torch.bool) if rank == 2 else full_mask(values)
        order = [name for name in self.config.modalities if name in features]
        return {name: features[name] for name in order}, {name: masks[name].bool() for name in order}


__all__ = ["TacfnModel", "TacfnPreTrainedModel"]
