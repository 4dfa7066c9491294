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
"""Configuration of CFN-SR (Fu et al. 2021, arXiv 2111.02172; code skeletonNN/CFN-SR)."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from .configuration_av_common import AudioVideoConfig, check_attention_heads, check_encoder_sizes


@strict
class CfnSrConfig(AudioVideoConfig):
    r"""
    Settings of one CFN-SR network. The defaults are the network as its authors drew it, 26,301,417 parameters.

    Args:
        audio_coefficients (`int`, *optional*, defaults to 13):
            MFCC per audio step, the last dimension of `input_features`.
        audio_channels (`tuple[int, int, int]`, *optional*, defaults to `(32, 32, 64)`):
            Output channels of the three 1-D convolutions; the last one must equal `hidden_size`.
        audio_pool_size (`int`, *optional*, defaults to 8):
            Steps merged by the max pooling between the second and the third convolution.
        audio_bins (`int`, *optional*, defaults to 26):
            Steps of the audio map that the classifier sees, made by adaptive average pooling over the valid steps. The
            authors' classifier takes exactly 26, what 212 MFCC steps (2.45 s) give; for those the pooling is the identity.
        audio_dropout (`float`, *optional*, defaults to 0.2):
            Dropout after the second convolution.
        video_stem_channels (`int`, *optional*, defaults to 64):
            Output channels of the 7x7x7 stem convolution.
        video_widths (`tuple[int, ...]`, *optional*, defaults to `(128, 256, 512, 1024)`):
            Inner width of each 3-D ResNeXt stage; a stage gives twice its width.
        video_depths (`tuple[int, ...]`, *optional*, defaults to `(3, 4, 6, 3)`):
            Residual blocks of each stage.
        video_cardinality (`int`, *optional*, defaults to 32):
            Groups of every 3x3x3 convolution.
        stem_activation (`bool`, *optional*, defaults to `True`):
            Whether a ReLU follows the stem's norm, as in the 3-D ResNeXt that the paper names and whose weights it starts
            from. The released code leaves it out, so `tacfn convert` sets `False` for its checkpoints.
        hidden_size (`int`, *optional*, defaults to 64):
            Token size of the audio encoder and of the cross-modal block.
        num_hidden_layers (`int`, *optional*, defaults to 5):
            Pre-LN Transformer layers over the audio map. With 0 the block sees the map itself, which is what the released
            file, whose encoder is commented out, would be if it ran (26,051,369 parameters).
        num_attention_heads (`int`, *optional*, defaults to 8):
            Attention heads of each layer.
        intermediate_size (`int`, *optional*):
            Feed-forward size of each layer. Defaults to four times `hidden_size`.
        is_causal (`bool`, *optional*, defaults to `True`):
            Whether an audio step attends to itself and earlier steps only, as in the released code.
        selection_pooling (`str`, *optional*, defaults to `"last"`):
            How the encoded audio becomes one vector: the `"last"` valid step, as in the released code, or the `"mean"`.
        attention_dropout (`float`, *optional*, defaults to 0.1): Dropout on attention weights.
        activation_dropout (`float`, *optional*, defaults to 0.1): Dropout inside the feed-forward block.
        hidden_dropout (`float`, *optional*, defaults to 0.1): Dropout before each residual sum.
        embedding_dropout (`float`, *optional*, defaults to 0.3): Dropout on the encoder's input.
        classifier_dropout (`float`, *optional*, defaults to 0.4): Dropout on what the classifier sees of the audio map.
        modality_loss_weight (`float`, *optional*, defaults to 0.0):
            Ours. Above 0, each modality also has a classifier of its own that sees its map before the cross-modal block; the
            mean loss of each is added with this weight.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the normal initialisation of the layer that scores positions.

    Raises:
        ValueError: when fields contradict each other; the message names both and the remedy.

    Example:

    ```python
    >>> from modeling_tacfn import CfnSrConfig, CfnSrModel

    >>> config = CfnSrConfig(video_widths=(32, 32, 64, 64), video_depths=(1, 1, 1, 1), num_labels=4)
    >>> model = CfnSrModel(config)
    >>> model.classifier
    Linear(in_features=1792, out_features=4, bias=True)

    ```"""

    model_type = "cfn_sr"

    audio_coefficients: int = 13
    audio_channels: list[int] | tuple[int, ...] = (32, 32, 64)
    audio_pool_size: int = 8
    audio_bins: int = 26
    audio_dropout: float = 0.2
    video_stem_channels: int = 64
    video_widths: list[int] | tuple[int, ...] = (128, 256, 512, 1024)
    video_depths: list[int] | tuple[int, ...] = (3, 4, 6, 3)
    video_cardinality: int = 32
    stem_activation: bool = True

    hidden_size: int = 64
    num_hidden_layers: int = 5
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    is_causal: bool = True
    selection_pooling: Literal["last", "mean"] = "last"
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    hidden_dropout: float = 0.1
    embedding_dropout: float = 0.3
    classifier_dropout: float = 0.4

    modality_loss_weight: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        super().__post_init__(**kwargs)

    @property
    def modalities(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: names of the inputs, in the order in which the classifier sees them."""
        return ("video", "audio")

    @property
    def reinforced(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: names of the modalities that have a weight vector; audio guides video, never the reverse."""
        return ("video",)

    def validate_architecture(self):
        check_attention_heads(self)
        check_encoder_sizes(self)


__all__ = ["CfnSrConfig"]
