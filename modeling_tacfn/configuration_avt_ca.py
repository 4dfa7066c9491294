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
"""Configuration of AVT-CA (Venkatraman et al., arXiv 2407.18552): the paper's network and the one its authors released."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from .configuration_av_common import AudioVideoConfig


RELEASED_FIELDS = {
    "video_attention": "after_first_stage",
    "num_attention_heads": 8,
    "final_attention": "shared_self",
    "pooling": "mean",
    "combination": "concatenation",
    "modality_classifiers": True,
}


@strict
class AvtCaConfig(AudioVideoConfig):
    r"""
    Settings of one AVT-CA network.

    `AvtCaConfig()` is the network that the **paper** describes and draws. `AvtCaConfig.released()` is the one that its
    public code builds (2,004,462 parameters), which differs in the six fields of `RELEASED_FIELDS`; they say below what
    either does. Everything else is the same in both, and where the paper's text could not be read, it is the code's.

    Args:
        audio_coefficients (`int`, *optional*, defaults to 10):
            MFCC per audio step, the last dimension of `input_features`.
        audio_channels (`tuple[int, int, int, int]`, *optional*, defaults to `(64, 128, 256, 128)`):
            Output channels of the four 1-D convolutions over audio, two before the intermediate fusion and two after it.
        video_stem_channels (`int`, *optional*, defaults to 29):
            Output channels of EfficientFace's first convolution.
        video_stage_channels (`tuple[int, ...]`, *optional*, defaults to `(116, 232, 464)`):
            Output channels of each stage of inverted residuals.
        video_stage_depths (`tuple[int, ...]`, *optional*, defaults to `(4, 8, 4)`):
            Inverted residuals of each stage. The paper's figure draws two such blocks; both forms keep EfficientFace's three
            stages, because its published AffectNet weights, from which training starts, have them.
        video_feature_size (`int`, *optional*, defaults to 1024):
            Size of the vector that EfficientFace makes of a frame.
        video_attention (`str`, *optional*, defaults to `"before_stages"`):
            Where channel and spatial attention act and the local features of the four quarters of the face are added.
            `"before_stages"` (paper's figure): on the first convolution's map, so that all stages see what was attended to.
            `"after_first_stage"` (released code, and EfficientFace itself): attention on what the first stage gives. The
            AffectNet weights of attention and local features fit this place only.
        video_attention_size (`int`, *optional*, defaults to 7):
            Channels inside both attentions. EfficientFace has 116 // 16 = 7; at the paper's place, which has 29 channels, the
            same rule would leave 1, so 7 is ours there.
        video_channels (`tuple[int, int, int, int]`, *optional*, defaults to `(64, 64, 128, 128)`):
            Output channels of the four 1-D convolutions over frames, two before the intermediate fusion and two after it.
        intermediate_fusion (`bool`, *optional*, defaults to `True`):
            Whether a Transformer block lets each modality look at the other between its second and third convolution.
            `False` is the ablation that the paper calls "CT only".
        num_attention_heads (`int`, *optional*, defaults to 4):
            Heads of the intermediate fusion and of the final attention. Paper: 1 or 4, best with 4. Released code: always 8,
            whatever is asked of it.
        feed_forward_ratio (`int`, *optional*, defaults to 2):
            Size of the intermediate fusion's feed-forward layers, as a multiple of its token size.
        final_attention (`str`, *optional*, defaults to `"cross"`):
            What follows the last convolutions. `"cross"` (paper): each modality attends to itself, then to the other.
            `"shared_self"` (released code): each attends to itself only, both with the same weights. `"none"`: nothing, the
            ablation that the paper calls "IT only".
        pooling (`str`, *optional*, defaults to `"max"`):
            How the steps of a modality become one vector: their `"max"` (paper) or `"mean"` (released code).
        combination (`str`, *optional*, defaults to `"sum"`):
            What the classifier sees of both vectors: their `"sum"` (paper) or `"concatenation"`, audio first (released code).
        attention_dropout (`float`, *optional*, defaults to 0.0): Dropout on attention weights.
        classifier_dropout (`float`, *optional*, defaults to 0.0): Dropout on what the classifier sees. Neither the released
            code nor what could be read of the paper has any dropout.
        modality_loss_weight (`float`, *optional*, defaults to 0.0):
            Above 0, the mean loss of each modality's own classifier is added with this weight (ours).
        modality_classifiers (`bool`, *optional*):
            Whether every modality has a classifier of its own, which sees the mean of its last convolution as if the other
            modality were absent. Defaults to whether `modality_loss_weight` is above 0. The released code creates them and
            never trains them, so its form has them too.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the normal initialisation of linear layers with a single output.

    Raises:
        ValueError: when fields contradict each other; the message names both and the remedy.

    Example:

    ```python
    >>> from modeling_tacfn import AvtCaConfig, AvtCaModel

    >>> AvtCaModel(AvtCaConfig.released()).num_parameters()
    2004462

    ```"""

    model_type = "avt_ca"

    audio_coefficients: int = 10
    audio_channels: list[int] | tuple[int, ...] = (64, 128, 256, 128)
    video_stem_channels: int = 29
    video_stage_channels: list[int] | tuple[int, ...] = (116, 232, 464)
    video_stage_depths: list[int] | tuple[int, ...] = (4, 8, 4)
    video_feature_size: int = 1024
    video_attention: Literal["before_stages", "after_first_stage"] = "before_stages"
    video_attention_size: int = 7
    video_channels: list[int] | tuple[int, ...] = (64, 64, 128, 128)

    intermediate_fusion: bool = True
    num_attention_heads: int = 4
    feed_forward_ratio: int = 2
    final_attention: Literal["cross", "shared_self", "none"] = "cross"
    pooling: Literal["max", "mean"] = "max"
    combination: Literal["sum", "concatenation"] = "sum"
    attention_dropout: float = 0.0
    classifier_dropout: float = 0.0

    modality_loss_weight: float = 0.0
    modality_classifiers: bool | None = None
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if self.modality_classifiers is None:
            self.modality_classifiers = self.modality_loss_weight > 0
        super().__post_init__(**kwargs)

    @classmethod
    def released(cls, **fields) -> "AvtCaConfig":
        """Settings of the network that the authors' public code builds, changed by `fields`."""
        return cls(**(RELEASED_FIELDS | fields))

    @property
    def modalities(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: names of the inputs, in the order in which the classifier sees them."""
        return ("audio", "video")

    def validate_architecture(self):
        for field in ("audio_channels", "video_channels"):
            if len(getattr(self, field)) != 4:
                raise ValueError(f"`{field}` needs one size per convolution, four, got {list(getattr(self, field))}.")
        if self.audio_channels[-1] != self.video_channels[-1]:
            raise ValueError(
                "`audio_channels` and `video_channels` must end in the same size, got "
                f"{self.audio_channels[-1]} and {self.video_channels[-1]}; change one of them."
            )
        sizes = [self.audio_channels[1], self.video_channels[1], self.audio_channels[-1]]
        heads = self.num_attention_heads
        if heads < 1 or any(size % heads for size in sizes):
            raise ValueError(
                f"`num_attention_heads` must be positive and divide the token sizes {sizes}, got {heads}; change it or the "
                "channels."
            )
        if len(self.video_stage_channels) != len(self.video_stage_depths) or not self.video_stage_depths:
            raise ValueError(
                "`video_stage_channels` and `video_stage_depths` need one entry per stage, got "
                f"{list(self.video_stage_channels)} and {list(self.video_stage_depths)}."
            )
        odd = [channels for channels in self.video_stage_channels if channels % 2]
        if odd:
            raise ValueError(f"`video_stage_channels` must be even, since a stage splits them in halves, got {odd}.")
        if self.video_attention == "after_first_stage" and self.video_stage_channels[0] % self.video_stem_channels:
            raise ValueError(
                "After the first stage, local features turn `video_stem_channels` into `video_stage_channels[0]` channel by "
                f"channel: expected a multiple, got {self.video_stem_channels} and {self.video_stage_channels[0]}."
            )
        if self.modality_loss_weight and not self.modality_classifiers:
            raise ValueError(
                f"`modality_loss_weight` ({self.modality_loss_weight}) needs `modality_classifiers`; leave that out or "
                "make it True."
            )


__all__ = ["AvtCaConfig"]
