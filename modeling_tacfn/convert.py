# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Authors' checkpoints to folders that `AutoModel` and `AutoProcessor` load, and published weights into a video encoder.

Every network has one entry in `AUTHORS_NETWORKS`: how its authors named each layer, and how their network and its inputs
differ from our defaults. Nothing that a checkpoint may hold beside tensors is executed.
"""

import os
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from .configuration_av_common import RAVDESS_LABELS
from .configuration_avt_ca import RELEASED_FIELDS, AvtCaConfig
from .convert_avt_ca import AVT_CA_PROCESSOR, AVT_CA_RENAMES, EFFICIENTFACE_RENAMES
from .feature_extraction_tacfn import TacfnFeatureExtractor
from .files import atomic_folder
from .image_processing_tacfn import IMAGENET_MEAN, IMAGENET_STD, TacfnImageProcessor
from .modeling_av_efficientface import EfficientFace
from .modeling_avt_ca import AvtCaModel
from .modeling_cfn_sr import CfnSrConfig, CfnSrModel
from .processing_tacfn import TacfnProcessor


Renames = tuple[tuple[str, str], ...]

# Where training scripts put the state dict among other things.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "net")

RESNEXT_BLOCK: Renames = (
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut_norm."),
)
# Hara's 3D-ResNets-PyTorch, whose names MSAF's and CFN-SR's unimodal checkpoints keep.
RESNEXT: Renames = (
    (r"^conv1\.", "stem."),
    (r"^bn1\.", "stem_norm."),
    *((rf"^layer{stage + 1}\.", f"stages.{stage}.") for stage in range(4)),
    *RESNEXT_BLOCK,
)
# CFN-SR, networks/msaf_ravdess.py: an nn.Sequential for each encoder, numbered by position.
CFN_SR: Renames = (
    (r"^fc\.", "classifier."),
    (r"^msaf\.0\.channel_affine\.", "fusion.cross_modal.video."),
    (r"^msaf\.0\.y_affine\.", "fusion.cross_modal.audio."),
    (r"^msaf\.0\.attn_weight_affine\.", "fusion.cross_modal.score."),
    (r"^msaf\.0\.audio_attention\.layer_norm\.", "fusion.audio_selection.norm."),
    (r"^msaf\.0\.audio_attention\.", "fusion.audio_selection."),
    (r"\.self_attn\.out_proj\.", ".attention.output."),
    (r"\.self_attn\.", ".attention."),
    (r"\.layer_norms\.0\.", ".attention_norm."),
    (r"\.layer_norms\.1\.", ".feed_forward_norm."),
    (r"\.fc1\.", ".expand."),
    (r"\.fc2\.", ".contract."),
    (r"^video_model_blocks\.0\.0\.", "fusion.video_encoder.stem."),
    (r"^video_model_blocks\.0\.1\.", "fusion.video_encoder.stem_norm."),
    *((rf"^video_model_blocks\.0\.{stage + 3}\.", f"fusion.video_encoder.stages.{stage}.") for stage in range(4)),
    *RESNEXT_BLOCK,
    (r"^audio_model_blocks\.0\.0\.", "fusion.audio_encoder.conv1."),
    (r"^audio_model_blocks\.0\.2\.", "fusion.audio_encoder.norm1."),
    (r"^audio_model_blocks\.0\.3\.", "fusion.audio_encoder.conv2."),
    (r"^audio_model_blocks\.0\.6\.", "fusion.audio_encoder.norm2."),
    (r"^audio_model_blocks\.0\.8\.", "fusion.audio_encoder.conv3."),
    (r"^audio_model_blocks\.0\.10\.", "fusion.audio_encoder.norm3."),
)


def cfn_sr_processor() -> TacfnProcessor:
    """
    What CFN-SR was trained on (its `ravdess.py` and `video_utils.py`): 13 MFCC at 44.1 kHz, 30 tight face crops of 224x224.

    Its pictures come from OpenCV, blue first, and are normalised by ImageNet's red-first numbers all the same. Two of its
    steps are not repeated: it hears seconds 0.5 to 2.95 of a clip only, and it squeezes frames to a square before the crop.
    """
    return TacfnProcessor(
        TacfnFeatureExtractor(feature_size=13, sampling_rate=44100, n_fft=2048, hop_length=512),
        TacfnImageProcessor(
            num_frames=30,
            size={"height": 224, "width": 224},
            face_margin=0.0,
            image_mean=IMAGENET_MEAN,
            image_std=IMAGENET_STD,
            do_flip_channel_order=True,
        ),
    )


def avt_ca_processor() -> TacfnProcessor:
    """What AVT-CA was trained on (its `ravdess.py`): see `AVT_CA_PROCESSOR`."""
    return TacfnProcessor(
        TacfnFeatureExtractor(**AVT_CA_PROCESSOR["feature_extractor"]),
        TacfnImageProcessor(**AVT_CA_PROCESSOR["image_processor"]),
    )


@dataclass(frozen=True)
class AuthorsNetwork:
    """
    How a network's published checkpoints become ours.

    Args:
        config_class, model_class (`type`): ours.
        renames (`tuple[tuple[str, str], ...]`): regular expressions and what replaces them, applied in this order.
        processor (`Callable`): makes the processor that the authors' network was trained with.
        ignored (`str`): regular expression of names that hold nothing learnt.
        config (`dict`): fields in which the authors' network differs from our defaults.
    """

    config_class: type
    model_class: type
    renames: Renames
    processor: Callable[[], TacfnProcessor]
    ignored: str = r"$^"
    config: dict = field(default_factory=dict)


AUTHORS_NETWORKS = {
    "cfn_sr": AuthorsNetwork(
        CfnSrConfig,
        CfnSrModel,
        CFN_SR,
        cfn_sr_processor,
        ignored=r"\.version$|\.embed_positions\._float_tensor$",
        config={"stem_activation": False},
    ),
    "avt_ca": AuthorsNetwork(AvtCaConfig, AvtCaModel, AVT_CA_RENAMES, avt_ca_processor, config=RELEASED_FIELDS),
}


def convert_checkpoint(
    checkpoint: str | os.PathLike,
    folder: str | os.PathLike,
    network: str = "cfn_sr",
    labels: Iterable[str] = RAVDESS_LABELS,
    **config,
):
    """
    Turn an author's checkpoint into a folder that `AutoModel` and `AutoProcessor` load.

    Args:
        checkpoint (`str` or `os.PathLike`): a `.pth` file: a state dict, or a dict that holds one.
        folder (`str` or `os.PathLike`): the folder to make; it appears whole or not at all.
        network (`str`, *optional*, defaults to `"cfn_sr"`): one of `AUTHORS_NETWORKS`.
        labels (`Iterable[str]`, *optional*): names of the classes, in order; RAVDESS's if not given.
        **config: other fields of the configuration, for a network trained at other sizes.

    Returns:
        The network, as it was saved.

    Raises:
        ValueError: the file is no checkpoint of that network; the message says in what.
        OSError: the file cannot be read, or `folder` is taken or cannot be written.
    """
    if network not in AUTHORS_NETWORKS:
        raise ValueError(f"expected a network of {sorted(AUTHORS_NETWORKS)}, got {network!r}.")
    authors = AUTHORS_NETWORKS[network]
    with atomic_folder(folder) as temporary:
        id2label = dict(enumerate(labels))
        state = rename_weights(read_state_dict(checkpoint), authors.renames, authors.ignored)
        model = authors.model_class(authors.config_class(**authors.config | {"id2label": id2label} | config))
        load_weights(model, state, checkpoint)
        model.save_pretrained(temporary)
        authors.processor().save_pretrained(temporary)
    return model.eval()


def load_video_encoder(model: nn.Module, checkpoint: str | os.PathLike) -> int:
    """
    Put published weights into a network's video encoder; their classifier is dropped.

    A 3-D ResNeXt takes them by Hara's names, as of Kinetics; an EfficientFace by its authors', as of AffectNet. Where AVT-CA's
    attention and local features come before the stages, as in its paper, those two start anew: they have other sizes there.

    Args:
        model: a network with an encoder at `model.fusion.video_encoder`.
        checkpoint (`str` or `os.PathLike`): a `.pth` file: a state dict, or a dict that holds one.

    Returns:
        `int`: how many of the numbers that the encoder learns were loaded.

    Raises:
        ValueError: the network has no such encoder, or the file is of another one; the message says in what.
        OSError: the file cannot be read.
    """
    encoder = getattr(getattr(model, "fusion", None), "video_encoder", None)
    if encoder is None:
        raise ValueError(
            f"{type(model).__name__} has no video encoder in this form; leave the weights of one ({os.fspath(checkpoint)}) out."
        )
    renames = EFFICIENTFACE_RENAMES if isinstance(encoder, EfficientFace) else RESNEXT
    state = rename_weights(read_state_dict(checkpoint), renames, ignored=r"^fc\.")
    anew = ("attention.", "local.") if getattr(encoder, "is_attention_first", False) else ()
    state = {name: value for name, value in state.items() if not name.startswith(anew)}
    load_weights(encoder, state, checkpoint, anew)
    return sum(value.numel() for name, value in encoder.named_parameters() if not name.startswith(anew))


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """
    Read the tensors of a checkpoint by their names, without the `module.` that data-parallel training puts before them.

    Raises:
        ValueError: the file holds something else than tensors, none at all, or is damaged.
        OSError: the file cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged file makes torch, zipfile or pickle raise nearly anything
        code = re.search(r"GLOBAL ([\w.]+\w)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code:
            raise ValueError(
                f"{path}: expected tensors only, but the file calls for {code.group(1)}, which was not executed. If you trust "
                "the file, save its state dict alone where its code is at home: torch.save(model.state_dict(), FILE)."
            ) from error
        raise ValueError(
            f"{path}: expected a whole file that torch.save wrote; this one is cut short, damaged or of another kind. Copy it "
            "again."
        ) from error
    state = _find_state_dict(content)
    if state is None:
        found = sorted(map(str, content))[:8] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(
            f"{path}: expected tensors by name, or such a dict under one of {list(STATE_DICT_KEYS)}, got {found}. Save the "
            "network's state dict alone."
        )
    return {re.sub(r"^(module\.)+", "", name): value for name, value in state.items()}


def _find_state_dict(content, levels: int = 3) -> dict[str, torch.Tensor] | None:
    if not isinstance(content, Mapping) or not content or not levels:  # a hostile dict may hold itself
        return None
    if all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()):
        return content
    inner = (_find_state_dict(content[key], levels - 1) for key in STATE_DICT_KEYS if key in content)
    return next((state for state in inner if state is not None), None)


def rename_weights(state: dict[str, torch.Tensor], renames: Renames, ignored: str) -> dict[str, torch.Tensor]:
    """Give tensors our names; queries, keys and values that were one matrix become three."""
    renamed = {}
    for name, value in state.items():
        if re.search(ignored, name):
            continue
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        prefix, is_spliced, kind = name.partition("in_proj_")
        if is_spliced and value.ndim and len(value) % 3 == 0:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            renamed |= {f"{prefix}{part}.{kind}": tensor for part, tensor in parts}
        else:
            renamed[name] = value
    return renamed


def load_weights(
    module: nn.Module, state: dict[str, torch.Tensor], source: str | os.PathLike, anew: tuple[str, ...] = ()
) -> None:
    """
    Load `state` if it fits exactly. Counts of batches and our standardisation may be missing, they are no weights; so may
    names that begin like those in `anew`.
    """
    own = module.state_dict()
    optional = re.compile(r"\.num_batches_tracked$|standardize\.(mean|std)$")
    missing = [name for name in own if name not in state and not name.startswith(anew) and not optional.search(name)]
    unexpected = [name for name in state if name not in own]
    problems = [
        f"{kind} {_listed(names)}" for kind, names in (("lacks", missing), ("has unknown", unexpected)) if names
    ]
    problems += [
        f"has {name} of shape {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ][:4]
    if not problems:  # shapes are looked at first: a file can claim a huge one for a single number
        broken = [name for name, value in state.items() if not value.isfinite().all()]
        problems += [f"holds numbers that are not finite in {_listed(broken)}"] if broken else []
    if problems:
        raise ValueError(
            f"{source}: expected the weights of {type(module).__name__} at these sizes, but the file {'; '.join(problems)}. Give "
            "a checkpoint of that network, or the sizes and labels it was trained with."
        )
    # Under a meta device, where only the fit is asked for, there is nothing to copy to.
    if next(module.parameters()).device.type != "meta":
        module.load_state_dict(state, strict=False)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


__all__ = ["AUTHORS_NETWORKS", "convert_checkpoint", "load_video_encoder"]
