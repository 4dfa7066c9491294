# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
From the names in the checkpoints of AVT-CA's and EfficientFace's authors to ours, and what their frames and sound were.

A rename is a regular expression for the beginning of a name, and what replaces it. Both tables cover every name.
"""

import re


AVT_CA_PROCESSOR = {
    # librosa's MFCC of speech at 22.05 kHz; the authors cut or fill it to 3.6 s, here any length is taken.
    "feature_extractor": {
        "feature_type": "mfcc",
        "feature_size": 10,
        "sampling_rate": 22050,
        "n_fft": 2048,
        "hop_length": 512,
    },
    # Tight boxes; bytes over 255 and nothing else, blue first, as OpenCV reads pictures.
    "image_processor": {
        "num_frames": 15,
        "size": {"height": 224, "width": 224},
        "face_margin": 0.0,
        "do_rescale": True,
        "do_normalize": False,
        "do_flip_channel_order": True,
    },
}

_UNIT = {
    r"branch1\.0": "shortcut_depthwise",
    r"branch1\.1": "shortcut_depthwise_norm",
    r"branch1\.2": "shortcut_pointwise",
    r"branch1\.3": "shortcut_pointwise_norm",
    r"branch2\.0": "expand",
    r"branch2\.1": "expand_norm",
    r"branch2\.3": "depthwise",
    r"branch2\.4": "depthwise_norm",
    r"branch2\.5": "contract",
    r"branch2\.6": "contract_norm",
}
_STAGES = {"stage2": "first_stage", "stage3": "later_stages.0", "stage4": "later_stages.1"}
_QUARTERS = {"1": "top_left", "2": "bottom_left", "3": "top_right", "4": "bottom_right"}

EFFICIENTFACE_RENAMES = (
    (r"^conv1\.0\.", "stem."),
    (r"^conv1\.1\.", "stem_norm."),
    *(
        (rf"^{stage}\.(\d+)\.{part}\.", rf"{our_stage}.\1.{our_part}.")
        for stage, our_stage in _STAGES.items()
        for part, our_part in _UNIT.items()
    ),
    *((rf"^local\.conv{number}_(\d)\.", rf"local.{quarter}.conv\1.") for number, quarter in _QUARTERS.items()),
    *((rf"^local\.bn{number}_(\d)\.", rf"local.{quarter}.norm\1.") for number, quarter in _QUARTERS.items()),
    (r"^modulator\.channel_att\.gate_c\.gate_c_fc_0\.", "attention.channel_gate.reduce."),
    (r"^modulator\.channel_att\.gate_c\.gate_c_bn_1\.", "attention.channel_gate.reduce_norm."),
    (r"^modulator\.channel_att\.gate_c\.gate_c_fc_final\.", "attention.channel_gate.score."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_conv_reduce0\.", "attention.spatial_gate.reduce."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_bn_reduce0\.", "attention.spatial_gate.reduce_norm."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_conv_di_0\.", "attention.spatial_gate.context1."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_bn_di_0\.", "attention.spatial_gate.context1_norm."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_conv_di_1\.", "attention.spatial_gate.context2."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_bn_di_1\.", "attention.spatial_gate.context2_norm."),
    (r"^modulator\.spatial_att\.gate_s\.gate_s_conv_final\.", "attention.spatial_gate.score."),
    (r"^conv5\.0\.", "output."),
    (r"^conv5\.1\.", "output_norm."),
)

_BLOCK = {
    r"norm1_q": "token_norm",
    r"norm1_k": "source_norm",
    r"attn\.q": "attention.query",
    r"attn\.kv": "attention.key_value",
    r"attn\.proj": "attention.output",
    r"norm2": "feed_forward_norm",
    r"mlp\.fc1": "expand",
    r"mlp\.fc2": "contract",
}
_MODALITIES = {"audio_model": "audio", "visual_model": "video"}
_CONVOLUTIONS = {"0": "early.{}.0", "1": "early.{}.1", "2": "late.{}.0", "3": "late.{}.1"}

AVT_CA_RENAMES = (
    *(
        (rf"^{theirs}\.conv1d_{number}\.{index}\.", f"fusion.{place.format(name)}.{part}.")
        for theirs, name in _MODALITIES.items()
        for number, place in _CONVOLUTIONS.items()
        for index, part in enumerate(("convolution", "norm"))
    ),
    *((rf"^{theirs}\.classifier_1\.0\.", f"modality_classifiers.{name}.") for theirs, name in _MODALITIES.items()),
    *(
        (theirs.replace("^", r"^visual_model\.", 1), f"fusion.video_encoder.{ours}")
        for theirs, ours in EFFICIENTFACE_RENAMES
    ),
    *(
        (rf"^{theirs}\.{part}\.", f"fusion.intermediate.{name}.{our_part}.")
        for theirs, name in {"av1": "audio", "va1": "video"}.items()
        for part, our_part in _BLOCK.items()
    ),
    (r"^finalAttention\.in_proj_", "fusion.final_attention.attention.query_key_value."),
    (r"^finalAttention\.out_proj\.", "fusion.final_attention.attention.output."),
    (r"^classifier_1\.0\.", "classifier."),
)


def avt_ca_key(name: str) -> str:
    """
    Translate a name from a checkpoint of AVT-CA's released code to that of an `AvtCaModel` in the released form.

    Raises:
        KeyError: that code gives nothing this name.
    """
    return _renamed(name, AVT_CA_RENAMES, "AVT-CA's released code")


def efficientface_key(name: str) -> str | None:
    """
    Translate a name from a published EfficientFace checkpoint to that of an `AvtCaModel`; `None` for the classifier of faces.

    In the paper's form `attention` and `local` have other sizes than in EfficientFace.

    Raises:
        KeyError: EfficientFace gives nothing this name.
    """
    if re.match(r"(module\.)?fc\.", name):
        return None
    return f"fusion.video_encoder.{_renamed(name, EFFICIENTFACE_RENAMES, 'EfficientFace')}"


def _renamed(name: str, renames, source: str) -> str:
    name = name.removeprefix("module.")  # torch.nn.DataParallel puts it first
    for pattern, ours in renames:
        match = re.match(pattern, name)
        if match:
            return match.expand(ours) + name[match.end() :]
    raise KeyError(f"{source} has no {name!r}; expected a checkpoint of that network, found one of another.")


__all__ = [
    "AVT_CA_PROCESSOR",
    "AVT_CA_RENAMES",
    "EFFICIENTFACE_RENAMES",
    "avt_ca_key",
    "efficientface_key",
]
