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
"""Configuration of TACFN (Liu et al. 2023, CAAI Artificial Intelligence Research 2, 9150019; arXiv 2505.06536)."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from .configuration_av_common import AudioVideoConfig, check_attention_heads, check_encoder_sizes


@strict
class TacfnConfig(AudioVideoConfig):
    r"""
    Settings of one TACFN network, in either of its two forms.

    `TacfnConfig()` is the published **audio-video form** for RAVDESS: MFCC through a 1-D CNN, face crops through a 3-D
    ResNeXt-50, audio reinforces video, 26,301,417 parameters. Giving `feature_sizes` selects the **feature form**: named
    feature sequences (or one vector per clip), each reinforced by the others.

    Both forms, wherever the paper's text could not be read, follow `TacfnFusedWeight` in `modeling_tacfn.py`.

    Args:
        audio_coefficients (`int`, *optional*, defaults to 13):
            Audio-video form: MFCC per audio step, the last dimension of `input_features`.
        audio_channels (`tuple[int, int, int]`, *optional*, defaults to `(32, 32, 64)`):
            Audio-video form: output channels of the three 1-D convolutions; the last one must equal `hidden_size`.
        audio_pool_size (`int`, *optional*, defaults to 8):
            Audio-video form: steps merged by the max pooling between the second and the third convolution.
        audio_bins (`int`, *optional*, defaults to 26):
            Audio-video form: steps of the audio map that the classifier sees, made by adaptive average pooling over the
            valid steps. 26 is what 212 MFCC steps (2.45 s) give, so for the paper's clips the pooling is the identity.
        audio_dropout (`float`, *optional*, defaults to 0.2):
            Audio-video form: dropout after the second convolution.
        video_stem_channels (`int`, *optional*, defaults to 64):
            Audio-video form: output channels of the 7x7x7 stem convolution.
        video_widths (`tuple[int, ...]`, *optional*, defaults to `(128, 256, 512, 1024)`):
            Audio-video form: inner width of each 3-D ResNeXt stage; a stage gives twice its width.
        video_depths (`tuple[int, ...]`, *optional*, defaults to `(3, 4, 6, 3)`):
            Audio-video form: residual blocks of each stage.
        video_cardinality (`int`, *optional*, defaults to 32):
            Audio-video form: groups of every 3x3x3 convolution.
        feature_sizes (`dict[str, int]`, *optional*):
            Feature form: size of each named feature, e.g. `{"text": 300, "audio": 74, "vision": 35}`. Empty selects the
            audio-video form. The feature named `audio` may also be passed to the model as `input_features`.
        feature_order (`tuple[str, ...]`, *optional*):
            Feature form: the names in the order in which the classifier sees them. Defaults to the order of `feature_sizes`,
            which a saved file loses, because the library sorts its keys.
        static_features (`tuple[str, ...]`, *optional*, defaults to `()`):
            Feature form: names whose input is one vector per clip (such as the mean of OpenFace's action units). Each of
            its numbers becomes a token, so that selection and weights act over units.
        feature_limit (`float`, *optional*):
            Feature form: standardised features are clamped to plus or minus this many deviations, because a unit that is zero
            for nearly everybody else outweighs all others in the one clip that has it. No clamping if not given.
        spectrogram_features (`tuple[str, ...]`, *optional*, defaults to `()`):
            Feature form: names whose input is a log-mel spectrogram; they go through a small 2-D CNN (ours, not the
            paper's) instead of a linear projection.
        spectrogram_channels (`tuple[int, ...]`, *optional*, defaults to `(24, 32, 48, 64)`):
            Feature form: output channels of the convolutions of that CNN.
        spectrogram_time_strides (`tuple[int, ...]`, *optional*, defaults to `(2, 2, 2, 1)`):
            Feature form: their strides over time.
        spectrogram_mel_strides (`tuple[int, ...]`, *optional*, defaults to `(4, 2, 2, 2)`):
            Feature form: their strides over mel bins.
        spectrogram_dropout (`float`, *optional*, defaults to 0.2):
            Feature form: dropout on the tokens which that CNN gives.
        hidden_size (`int`, *optional*, defaults to 64):
            Token size d inside the selection encoders and the fused weight vector (40 in the feature form of the paper).
        num_hidden_layers (`int`, *optional*, defaults to 5):
            Pre-LN Transformer layers of each selection encoder. 0 takes the tokens as they are (an ablation).
        num_attention_heads (`int`, *optional*, defaults to 8):
            Attention heads of each layer.
        intermediate_size (`int`, *optional*):
            Feed-forward size of each layer. Defaults to four times `hidden_size`.
        attention_dropout (`float`, *optional*, defaults to 0.1): Dropout on attention weights.
        activation_dropout (`float`, *optional*, defaults to 0.1): Dropout inside the feed-forward block.
        hidden_dropout (`float`, *optional*, defaults to 0.1): Dropout before each residual sum.
        embedding_dropout (`float`, *optional*, defaults to 0.3): Dropout on the encoder's input.
        classifier_dropout (`float`, *optional*, defaults to 0.4): Dropout on what the classifier sees of the audio map (audio-video
            form) or of all modalities (feature form).
        reinforced (`tuple[str, ...]`, *optional*):
            Names of the modalities that a fused weight vector reinforces. Defaults to `("video",)` in the audio-video form
            (the published parameter count) and to every modality in the feature form. `()` is plain concatenation.
        selection_pooling (`str`, *optional*, defaults to `"mean"`):
            How the selected tokens become one vector per source: `"mean"` over the valid steps or the `"last"` valid step.
        weight_scale (`str`, *optional*, defaults to `"softmax"`):
            `"softmax"` weights sum to 1 over the n positions of a slot, as published: their mean gain is 1/n. `"mean_one"`
            multiplies them by n, so that the gain does not depend on n.
        weight_residual (`bool`, *optional*, defaults to `True`):
            Whether the weighted tokens are added to the tokens, as published; without it only what is weighted is left (an
            ablation).
        encoded_targets (`tuple[str, ...]`, *optional*):
            Feature form: names of the modalities whose weight vector acts on what their own encoder gave; for the others it
            acts on the encoder's input, as in the audio-video form. Defaults to every modality.
        readout (`str`, *optional*, defaults to `"mean"`):
            Feature form: what the classifier sees of each sequence: the `"mean"` of its tokens, or `"statistics"`, their mean,
            maximum and standard deviation, which tells lively from flat voices. Of static features it sees the mean.
        modality_loss_weight (`float`, *optional*, defaults to 0.0):
            Above 0, every modality also has a classifier of its own that sees its pooled tokens before they are reinforced;
            the mean loss of each is added with this weight, so that no modality is left unlearnt beside a stronger one.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the normal initialisation of the spliced weight's last layer.

    Raises:
        ValueError: when fields contradict each other; the message names both and the remedy.

    Example:

    ```python
    >>> from modeling_tacfn import TacfnConfig, TacfnModel

    >>> config = TacfnConfig(feature_sizes={"text": 300, "audio": 74, "vision": 35}, hidden_size=40, num_labels=4)
    >>> model = TacfnModel(config)
    >>> model.num_parameters()
    342047

    ```"""

    model_type = "tacfn"

    audio_coefficients: int = 13
    audio_channels: list[int] | tuple[int, ...] = (32, 32, 64)
    audio_pool_size: int = 8
    audio_bins: int = 26
    audio_dropout: float = 0.2
    video_stem_channels: int = 64
    video_widths: list[int] | tuple[int, ...] = (128, 256, 512, 1024)
    video_depths: list[int] | tuple[int, ...] = (3, 4, 6, 3)
    video_cardinality: int = 32

    feature_sizes: dict[str, int] | None = None
    feature_order: list[str] | tuple[str, ...] | None = None
    static_features: list[str] | tuple[str, ...] = ()
    feature_limit: float | None = None
    spectrogram_features: list[str] | tuple[str, ...] = ()
    spectrogram_channels: list[int] | tuple[int, ...] = (24, 32, 48, 64)
    spectrogram_time_strides: list[int] | tuple[int, ...] = (2, 2, 2, 1)
    spectrogram_mel_strides: list[int] | tuple[int, ...] = (4, 2, 2, 2)
    spectrogram_dropout: float = 0.2

    hidden_size: int = 64
    num_hidden_layers: int = 5
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    hidden_dropout: float = 0.1
    embedding_dropout: float = 0.3
    classifier_dropout: float = 0.4

    reinforced: list[str] | tuple[str, ...] | None = None
    selection_pooling: Literal["mean", "last"] = "mean"
    weight_scale: Literal["softmax", "mean_one"] = "softmax"
    weight_residual: bool = True
    encoded_targets: list[str] | tuple[str, ...] | None = None
    readout: Literal["mean", "statistics"] = "mean"
    modality_loss_weight: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.feature_sizes = dict(self.feature_sizes or {})
        if self.feature_order is None:
            self.feature_order = tuple(self.feature_sizes)
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        if self.reinforced is None:
            self.reinforced = self.modalities if self.feature_sizes else ("video",)
        if self.encoded_targets is None:
            self.encoded_targets = self.modalities if self.feature_sizes else ()
        super().__post_init__(**kwargs)

    @property
    def modalities(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: names of the inputs, in the order in which the classifier sees them."""
        return tuple(self.feature_order) if self.feature_sizes else ("video", "audio")

    def validate_architecture(self):
        check_attention_heads(self)
        if sorted(self.feature_order) != sorted(self.feature_sizes):
            raise ValueError(
                f"`feature_order` must name each of the features {list(self.feature_sizes)} once, got {list(self.feature_order)}; "
                "leave it out to take their order."
            )
        for field in ("reinforced", "encoded_targets", "static_features", "spectrogram_features"):
            unknown = sorted(set(getattr(self, field) or ()) - set(self.modalities))
            if unknown:
                raise ValueError(
                    f"`{field}` names {unknown}, but the modalities are {list(self.modalities)}; use those names."
                )
        both = sorted(set(self.static_features) & set(self.spectrogram_features))
        if both:
            raise ValueError(f"{both} cannot be in both `static_features` and `spectrogram_features`; keep one.")
        strides = (self.spectrogram_time_strides, self.spectrogram_mel_strides)
        if any(len(values) != len(self.spectrogram_channels) for values in strides):
            raise ValueError(
                "`spectrogram_channels`, `spectrogram_time_strides` and `spectrogram_mel_strides` need one entry per "
                f"convolution, got {list(self.spectrogram_channels)}, {list(strides[0])} and {list(strides[1])}."
            )
        if self.feature_sizes:
            return
        if self.encoded_targets:
            raise ValueError(
                f"`encoded_targets` belongs to the feature form, got {list(self.encoded_targets)}; give `feature_sizes`, or "
                "leave it out."
            )
        check_encoder_sizes(self)


__all__ = ["TacfnConfig"]
