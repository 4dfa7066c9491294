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
The fusion methods that the papers compare with, on TACFN's own encoders, so that only the fusion differs.

    accelerate launch train.py --network tacfn_baseline --model '{fusion: mmtm}'

Audio only and video only are `train.py --modalities`; TACFN itself is `--network tacfn`. `docs/baselines.md` has a table of
the methods, their sources and their parameter counts.
"""

from typing import Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers.utils.output_capturing import capture_outputs

from .baseline_fusions import (
    CfnSrBlock,
    CompactBilinear,
    Concatenation,
    CountSketch,
    CrossModalTransformers,
    JoinedReadouts,
    averaged_scores,
    multiplicative_scores,
    multiplied_scores,
)
from .baseline_streams import AudioVideoStreams, FeatureStreams
from .configuration_tacfn import TacfnConfig
from .modeling_av_common import AudioVideoOutput, Standardize, classification_loss
from .modeling_tacfn import TacfnFeatureFusion, TacfnModel, TacfnPreTrainedModel


FUSIONS = {
    "concatenation": Concatenation,
    "mcbp": CompactBilinear,
    "mult": CrossModalTransformers,
    "cfn_sr": CfnSrBlock,
}
LATE_FUSIONS = ("averaging", "multiplication", "multiplicative", "mmtm", "msaf")
OF_SEVERAL_MODALITIES = ("mcbp", "mmtm", "msaf", "mult")


@strict
class BaselineConfig(TacfnConfig):
    r"""
    Settings of one baseline: those of [`TacfnConfig`] that describe inputs, encoders and readout, and the method.

    Of TACFN's own fusion, `reinforced` must stay empty and `weight_scale` has no effect. `selection_pooling` is that of MulT.
    In the feature form a modality outside `encoded_targets` has no selection encoder, since nothing would use it; plain
    concatenation, which is TACFN's own network, has them all, and MulT none.

    Args:
        fusion (`str`, *optional*, defaults to `"concatenation"`):
            `"averaging"`, `"multiplication"`, `"multiplicative"`, `"concatenation"`, `"mcbp"`, `"mmtm"`, `"msaf"`, `"mult"` or
            `"cfn_sr"`; the last one in the audio-video form only.
        concatenation_size (`int`, *optional*, defaults to 256):
            Concatenation, audio-video form: units of its hidden layer. 256 explains the published parameter count.
        sketch_size (`int`, *optional*, defaults to 16000):
            MCBP: bins of the sketches, as in its paper.
        multiplicative_beta (`float`, *optional*, defaults to 0.5):
            Multiplicative: from 0 (no down-weighting) to 1; the authors' scripts try 0.01 to 1.
        msaf_block_dropout (`float`, *optional*, defaults to 0.2):
            MSAF: probability that a block of channels is dropped while training.

    Raises:
        ValueError: when fields contradict each other, or the method is not defined for the form that they describe.
    """

    model_type = "tacfn_baseline"
    # Baselines are loaded where the package is installed; their code is not shipped.
    _auto_class = None

    fusion: Literal[
        "averaging",
        "multiplication",
        "multiplicative",
        "concatenation",
        "mcbp",
        "mmtm",
        "msaf",
        "mult",
        "cfn_sr",
    ] = "concatenation"
    concatenation_size: int = 256
    sketch_size: int = 16000
    multiplicative_beta: float = 0.5
    msaf_block_dropout: float = 0.2

    def __post_init__(self, **kwargs):
        if self.reinforced is None:
            self.reinforced = ()
        super().__post_init__(**kwargs)

    @property
    def exchange_sizes(self) -> tuple[dict[str, int], dict[str, int]]:
        """`tuple[dict[str, int], dict[str, int]]`: channels of each stream at the two places where MMTM and MSAF act."""
        if self.feature_sizes:
            return (dict.fromkeys(self.modalities, self.hidden_size),) * 2
        return (
            {"video": 2 * self.video_widths[-2], "audio": self.audio_channels[1]},
            {"video": 2 * self.video_widths[-1], "audio": self.hidden_size},
        )

    def msaf_block_size(self, sizes: dict[str, int]) -> int:
        """Channels of a block: half of the smallest stream's, as in MSAF's network for RAVDESS."""
        return max(1, min(sizes.values()) // 2)

    def validate_fusion(self):
        if self.reinforced:
            raise ValueError(
                f"`reinforced` belongs to TACFN, got {list(self.reinforced)} beside `fusion` {self.fusion!r}; leave it out, "
                "or use the network `tacfn`."
            )
        if self.fusion == "cfn_sr" and self.feature_sizes:
            raise ValueError(
                f"CFN-SR's block weighs the positions of a video map; it is not defined for the features "
                f"{list(self.feature_sizes)}. Leave `feature_sizes` out, or choose another `fusion`."
            )
        if self.fusion in OF_SEVERAL_MODALITIES and len(self.modalities) < 2:
            raise ValueError(
                f"`fusion` {self.fusion!r} needs two modalities or more, got {list(self.modalities)}; add one to "
                "`feature_sizes`, or choose concatenation."
            )
        if self.fusion == "multiplicative" and self.problem_type == "multi_label_classification":
            raise ValueError(
                "`fusion` 'multiplicative' is defined for one label of several, got `problem_type` "
                "'multi_label_classification'; choose another `fusion`."
            )
        if self.fusion in ("averaging", "multiplication", "multiplicative") and self.problem_type == "regression":
            raise ValueError(
                f"`fusion` {self.fusion!r} puts probabilities together, got `problem_type` 'regression'; choose another `fusion`."
            )
        if self.fusion == "mult" and self.num_hidden_layers < 1:
            raise ValueError(
                f"`fusion` 'mult' fuses in its layers: `num_hidden_layers` must be at least 1, got {self.num_hidden_layers}."
            )
        if self.fusion in ("mmtm", "msaf") and not self.feature_sizes and len(self.video_widths) < 2:
            raise ValueError(
                f"`fusion` {self.fusion!r} acts before and after the last video stage: `video_widths` needs two entries or "
                f"more, got {list(self.video_widths)}."
            )
        if self.fusion == "msaf":
            self._check_msaf_blocks()
        if not 0 <= self.multiplicative_beta <= 1:
            raise ValueError(f"`multiplicative_beta` must be from 0 to 1, got {self.multiplicative_beta}.")
        if not 0 <= self.msaf_block_dropout < 1:
            raise ValueError(f"`msaf_block_dropout` must be from 0 to below 1, got {self.msaf_block_dropout}.")
        for field in ("sketch_size", "concatenation_size"):
            if getattr(self, field) < 1:
                raise ValueError(f"`{field}` must be at least 1, got {getattr(self, field)}.")

    def _check_msaf_blocks(self):
        for sizes in self.exchange_sizes:
            block = self.msaf_block_size(sizes)
            if any(size % block for size in sizes.values()):
                raise ValueError(
                    f"MSAF cuts the channels {sizes} into blocks of {block}, half of the smallest; they must be multiples of "
                    "it. Change `audio_channels` or `video_widths`."
                )


class BaselineFusion(nn.Module):
    """The encoders' streams and, for the methods that fuse them into one vector, how."""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        self.streams = FeatureStreams(config) if config.feature_sizes else AudioVideoStreams(config)
        self.mix = FUSIONS.get(config.fusion, JoinedReadouts)(config, self.streams)
        self.readout_sizes = self.streams.readout_sizes

    def forward(self, *inputs, **kwargs):
        """
        Return the fused vector `(batch, fused_size)`, weight vectors (none), and by modality its own readout with a mask
        `(batch,)` of the clips that have it.
        """
        streams = self.streams(*inputs, **kwargs)
        return self.mix(streams, **kwargs), {}, {name: (item.readout, item.present) for name, item in streams.items()}

    @property
    def standardizers(self) -> dict[str, Standardize]:
        """What centres and scales each input, by its name."""
        return self.streams.standardizers


class BaselineModel(TacfnPreTrainedModel):
    """
    One baseline with its classifiers; either modality may be absent, for the whole batch or for single clips.

    Late fusion (averaging, multiplication, multiplicative, MMTM, MSAF) has a classifier per modality and combines what the
    present ones say. Averaging and multiplication are trained as if each were alone. Plain concatenation in the feature form
    is TACFN's own network with nothing reinforced.
    """

    config_class = BaselineConfig
    base_model_prefix = "baseline"

    # The inputs are TACFN's, and so is what is said about wrong ones.
    _fusion_inputs = TacfnModel._fusion_inputs
    _named_features = TacfnModel._named_features

    def __init__(self, config: BaselineConfig):
        super().__init__(config)
        self.is_late = config.fusion in LATE_FUSIONS
        if config.fusion == "concatenation" and config.feature_sizes:
            self.fusion = TacfnFeatureFusion(config)
            fused_size = sum(self.fusion.readout_sizes.values())
        else:
            self.fusion = BaselineFusion(config)
            fused_size = self.fusion.mix.fused_size
        if not self.is_late:
            self.classifier = nn.Linear(fused_size, config.num_labels)
        if self.is_late or config.modality_loss_weight:
            self.modality_classifiers = nn.ModuleDict(
                {name: nn.Linear(size, config.num_labels) for name, size in self.fusion.readout_sizes.items()}
            )
        self.post_init()

    @torch.no_grad()
    # trf-ignore: TRF018
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, CountSketch):
            module.draw()

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
            [`AudioVideoOutput`], without weight vectors. Late fusion always gives `modality_logits`.

        Raises:
            ValueError: if no modality is given, or one has another rank or size than the configuration says.
        """
        inputs = self._fusion_inputs(
            input_features, pixel_values_videos, audio_mask, video_mask, features, feature_masks
        )
        fused, weight_vectors, alone = self.fusion(*inputs, **kwargs)
        own, present = {}, {}
        if self.is_late or self.config.modality_loss_weight:
            own = {name: self.modality_classifiers[name](readout) for name, (readout, _) in alone.items()}
            present = {name: mask for name, (_, mask) in alone.items()}
        logits = self._combine(own, present) if self.is_late else self.classifier(fused)
        return AudioVideoOutput(
            loss=None if labels is None else self._loss(labels, logits, own, present),
            logits=logits,
            pooler_output=fused,
            weight_vectors=weight_vectors,
            modality_logits=own or None,
        )

    def _combine(self, own: dict[str, torch.Tensor], present: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the present modalities' classifiers say together, `(batch, num_labels)`."""
        scores = torch.stack(list(own.values()))
        there = torch.stack(list(present.values())).unsqueeze(-1)
        is_multi_label = self.config.problem_type == "multi_label_classification"
        if self.config.fusion == "averaging":
            return averaged_scores(scores, there, is_multi_label)
        if self.config.fusion == "multiplication":
            return multiplied_scores(scores, there, is_multi_label)
        if self.config.fusion == "multiplicative":
            return multiplicative_scores(scores, there, self.config.multiplicative_beta)
        total = (scores * there).sum(0)
        return total if self.config.fusion == "msaf" else total / there.sum(0).clamp(min=1)

    def _loss(self, labels, logits, own: dict[str, torch.Tensor], present: dict[str, torch.Tensor]) -> torch.Tensor:
        config = self.config
        alone = sum(
            classification_loss(scores, labels, config.problem_type, present[name]) for name, scores in own.items()
        )
        if config.fusion in ("averaging", "multiplication"):
            return alone
        if config.fusion == "multiplicative":
            answers = labels if labels.is_floating_point() else nn.functional.one_hot(labels, config.num_labels)
            joint = -(answers * logits.float()).sum(1).mean()
        else:
            joint = classification_loss(logits, labels, config.problem_type)
        return joint + config.modality_loss_weight * alone


__all__ = ["BaselineConfig", "BaselineModel"]
