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
CFN-SR: a cross-modal fusion network based on self-attention and residual structure (Fu et al. 2021, arXiv 2111.02172).

The network of the paper's figure and of the released code (skeletonNN/CFN-SR, `networks/msaf_ravdess.py`) with its audio
encoder switched on, which gives the published 26,301,417 parameters. Where that code and the paper part, the code is not
followed: it adds up the weight maps of all clips of a batch, so that clips steer each other; here each clip has its own.
"""

import torch
from torch import nn
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_cfn_sr import CfnSrConfig
from .modeling_av_attention import EncoderLayer, SelectionEncoder, SelfAttention
from .modeling_av_audio import MfccEncoder
from .modeling_av_common import (
    AudioVideoOutput,
    AudioVideoPreTrainedModel,
    Standardize,
    check_audio_video,
    flat_bins,
    full_mask,
    joint_loss,
    last_step,
    masked_mean,
    masked_softmax,
    prefix_mask,
)
from .modeling_av_resnext import ResNext3d


class CfnSrCrossModalBlock(nn.Module):
    """
    The cross-modal block: audio weighs the positions of the video map, which is reinforced with a residual.

    `Q = tanh(W_v V + b_v + W_a a)`, `P = softmax(w^T Q + b)` over the positions of one time slot, `V' = P V + V`.
    """

    def __init__(self, config: CfnSrConfig):
        super().__init__()
        self.video = nn.Linear(2 * config.video_widths[-1], config.hidden_size)
        self.audio = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.score = nn.Linear(config.hidden_size, 1)

    def forward(
        self, video: torch.Tensor, audio: torch.Tensor, slot_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Reinforce the map `video` `(batch, slots, positions, map_size)` by the vector `audio` `(batch, hidden_size)`.

        Returns the reinforced map and the weights `(batch, slots, positions)`, which sum to 1 in each slot that
        `slot_mask` `(batch, slots)` calls real.
        """
        queries = torch.tanh(self.video(video) + self.audio(audio)[:, None, None])
        weights = masked_softmax(self.score(queries).squeeze(-1), slot_mask[:, :, None].expand(video.shape[:3]))
        return weights.unsqueeze(-1) * video + video, weights


class CfnSrFusion(nn.Module):
    """Both encoders, the encoded audio's vector, the cross-modal block, and what the classifier sees."""

    def __init__(self, config: CfnSrConfig):
        super().__init__()
        self.config = config
        self.video_encoder = ResNext3d(
            config.video_stem_channels,
            config.video_widths,
            config.video_depths,
            config.video_cardinality,
            config.stem_activation,
        )
        # Ours: the identity until training fits it, since raw MFCC reach hundreds. The authors' code does not scale them.
        self.audio_standardize = Standardize(config.audio_coefficients)
        self.audio_encoder = MfccEncoder(
            config.audio_coefficients, config.audio_channels, config.audio_pool_size, config.audio_dropout
        )
        self.audio_selection = SelectionEncoder(config, is_causal=config.is_causal)
        self.pool_audio = last_step if config.selection_pooling == "last" else masked_mean
        self.cross_modal = CfnSrCrossModalBlock(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.readout_sizes = {"video": 2 * config.video_widths[-1], "audio": config.audio_bins * config.hidden_size}

    def forward(self, input_features, audio_mask, pixel_values_videos, video_mask, **kwargs):
        """
        Return the fused vector `(batch, pooled_size)`, the weight maps by target, and by modality its own vector
        before the cross-modal block with a mask `(batch,)` of the clips that have it.
        """
        present = pixel_values_videos if input_features is None else input_features
        audio = present.new_zeros(present.shape[0], 1, self.config.hidden_size)
        audio_lengths = torch.zeros(present.shape[0], dtype=torch.long, device=present.device)
        pooled_video = present.new_zeros(present.shape[0], self.readout_sizes["video"])
        weight_maps, alone = {}, {}

        if input_features is not None:
            audio, audio_lengths = self.audio_encoder(self.audio_standardize(input_features), audio_mask)
        # The classifier sees the map of the convolutions, not what the encoder makes of it.
        flat_audio = self.dropout(flat_bins(audio, audio_lengths, self.config.audio_bins))
        if input_features is not None:
            alone["audio"] = (flat_audio, audio_lengths > 0)

        if pixel_values_videos is not None:
            audio_steps = prefix_mask(audio_lengths, audio.shape[1])
            guide = self.pool_audio(self.audio_selection(audio, audio_steps, **kwargs), audio_steps)
            video, slot_mask = self.video_encoder(pixel_values_videos, video_mask)  # (B, slots, h, w, map_size)
            height, width = video.shape[2:4]
            video = video.flatten(2, 3)
            alone["video"] = (masked_mean(video.mean(2), slot_mask), slot_mask.any(1))
            video, weights = self.cross_modal(video, guide, slot_mask)
            weight_maps["video"] = weights.unflatten(2, (height, width))
            pooled_video = masked_mean(video.mean(2), slot_mask)

        return torch.cat([pooled_video, flat_audio], dim=1), weight_maps, alone

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return {"audio": self.audio_standardize}


class CfnSrPreTrainedModel(AudioVideoPreTrainedModel):
    """What loads, saves and records the parts of CFN-SR."""

    config_class = CfnSrConfig
    base_model_prefix = "cfn_sr"
    _no_split_modules = ["EncoderLayer", "ResNextBlock"]
    _can_record_outputs = {"hidden_states": EncoderLayer, "attentions": OutputRecorder(SelfAttention, index=1)}


class CfnSrModel(CfnSrPreTrainedModel):
    """
    The whole network with its classifier.

    It serves `AutoModel`, `AutoModelForVideoClassification` and `AutoModelForAudioClassification` alike: either modality
    may be absent, for the whole batch (leave the argument out) or for single clips (an all-zero mask row).
    """

    def __init__(self, config: CfnSrConfig):
        super().__init__(config)
        self.fusion = CfnSrFusion(config)
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
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> AudioVideoOutput:
        r"""
        Classify clips.

        Args:
            input_features (`torch.FloatTensor` of shape `(batch_size, steps, coefficients)`, *optional*):
                MFCC; 212 steps in the authors' code, any number here.
            pixel_values_videos (`torch.FloatTensor` of shape `(batch_size, frames, 3, height, width)`, *optional*):
                Normalised face crops, RGB or whatever order the network was trained on; 30 of 224x224 in the authors' code.
            audio_mask (`torch.BoolTensor` of shape `(batch_size, steps)`, *optional*):
                1 for real steps, 0 for padding, which comes last. Defaults to all real.
            video_mask (`torch.BoolTensor` of shape `(batch_size, frames)`, *optional*):
                1 for real frames, 0 for padding. Defaults to all real.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Class indices; or probabilities `(batch_size, num_labels)` for mixed clips; or 0/1 answers
                `(batch_size, num_labels)` when `config.problem_type` is `"multi_label_classification"`.

        Returns:
            [`AudioVideoOutput`]

        Raises:
            ValueError: if no modality is given, or one has another rank or size than the configuration says.
        """
        if kwargs.pop("features", None):
            raise ValueError(
                "CFN-SR takes `input_features` and `pixel_values_videos`, not named features; leave `features` out, or load "
                "a TACFN network in the feature form."
            )
        check_audio_video(input_features, pixel_values_videos, self.config.audio_coefficients)
        if input_features is not None and audio_mask is None:
            audio_mask = full_mask(input_features)
        if pixel_values_videos is not None and video_mask is None:
            video_mask = full_mask(pixel_values_videos)
        fused, weight_maps, alone = self.fusion(input_features, audio_mask, pixel_values_videos, video_mask, **kwargs)

        logits = self.classifier(fused)
        modality_logits = {}
        if self.config.modality_loss_weight:
            modality_logits = {name: self.modality_classifiers[name](own) for name, (own, _) in alone.items()}
        present = {name: has_modality for name, (_, has_modality) in alone.items()}
        return AudioVideoOutput(
            loss=joint_loss(self.config, labels, logits, modality_logits, present),
            logits=logits,
            pooler_output=fused,
            weight_vectors=weight_maps,
            modality_logits=modality_logits or None,
        )


__all__ = ["CfnSrModel", "CfnSrPreTrainedModel"]
