# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""One call from a clip to emotions, with everything a picture of the answer needs."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.utils import logging
from transformers.utils.logging import disable_progress_bar

from .exported_model import ExportedModel, find_exported
from .processing_tacfn import ClipInputs
from .speaker_file import load_speaker


logger = logging.get_logger(__name__)


@dataclass
class Prediction:
    """
    What the network says of one clip.

    Args:
        scores (`dict[str, float]`): probability of each emotion, most likely first; of a network that estimates a number, that.
        clip ([`ClipInputs`]): what the network was given, as read.
        weight_vectors (`dict[str, np.ndarray]`): fused weight vector of each reinforced modality, of this clip.
        unit_names (`dict[str, list[str]]`): names of the numbers of each feature, where the processor knows them.
        source (`str`): name or path of the clip.
        is_probability (`bool`): whether the scores are from 0 to 1.
    """

    scores: dict[str, float]
    clip: ClipInputs
    weight_vectors: dict[str, np.ndarray] = field(default_factory=dict)
    unit_names: dict[str, list[str]] = field(default_factory=dict)
    source: str = ""
    is_probability: bool = True

    @property
    def emotion(self) -> str:
        return next(iter(self.scores))

    def said(self, name: str) -> str:
        """The score of an emotion as people read it: in percent, or as the number it is."""
        return f"{100 * self.scores[name]:.0f} %" if self.is_probability else f"{self.scores[name]:+.2f}"

    def inputs(self) -> dict:
        """Which modalities the answer rests on."""
        valid = self.clip.crops_valid
        return {
            "sound": self.clip.has_sound,
            "frames": 0 if self.clip.crops is None else len(self.clip.crops),
            "frames_with_face": 0 if valid is None else int(valid.sum()),
            "features": sorted(name for name, values in self.clip.features.items() if np.isfinite(values).any()),
        }

    def to_dict(self, top_k: int | None = None) -> dict:
        """Plain values for JSON, with the `top_k` most likely emotions or all."""
        scores = dict(list(self.scores.items())[:top_k])
        return {"clip": self.source, "emotion": self.emotion, "scores": scores, "inputs": self.inputs()}


def load(
    folder: str | os.PathLike,
    device: str | None = None,
    trust_remote_code: bool = False,
    runtime: str = "auto",
    revision: str | None = None,
):
    """
    Load a network and its processor from a folder or the Hub.

    Args:
        folder (`str` or `Path`): what train.py, `save_pretrained` or `tacfn export` wrote, or a name on the Hub.
        device (`str`, *optional*, defaults to `"cpu"`): where the network is put.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether code that comes with the model may run.
        runtime (`str`, *optional*, defaults to `"auto"`): what runs the network: `"torch"`; `"onnx"` or `"openvino"` an exported
            one, which may lie in the folder of that name beside the weights; `"auto"`: whatever `folder` itself holds, and on a
            CPU what was exported of its weights, if OpenVINO is installed.
        revision (`str`, *optional*): of a name on the Hub: the commit or branch; the newest of the main one if not given.

    Returns:
        `tuple`: the network, in evaluation mode, and its processor.

    Raises:
        OSError: there is no such model, or its files are damaged or do not belong together.
        ImportError: the runtime is not installed.
        ValueError: the device cannot be used here, or there is nothing for the runtime.
    """
    device = _checked_device(device or "cpu")
    origin = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    is_local = os.path.exists(folder)
    if is_local:
        _check_folder(Path(folder))
    else:
        _check_hub_name(folder)
    disable_progress_bar()  # of the weights, which are read in a moment
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what is wrong with the weights is said below, in a line
    try:
        config = AutoConfig.from_pretrained(folder, **origin)
        network, options = find_exported(folder, config, runtime, device)
        model, report = AutoModel.from_pretrained(network, **origin, output_loading_info=True, **options)
    except StrictDataclassError as error:
        raise OSError(
            f"{folder}: expected a config.json that this version understands ({' '.join(str(error).split())}). Train again, "
            "or use the version that wrote it."
        ) from error
    except (SafetensorError, RuntimeError) as error:
        raise OSError(
            f"{folder}: expected whole weights that fit config.json, but they cannot be read ({_first_line(error)}). The "
            "file is cut short, damaged or another network's: copy it again, or train again."
        ) from error
    except OSError as error:
        if is_local:
            raise
        raise OSError(
            f"{folder}: there is no such folder, and no model of that name came from the Hub ({_hub_reason(error)}). Give "
            "the folder that train.py wrote, or check the name and the connection."
        ) from error
    except ValueError as error:
        if not str(error).startswith("Unrecognized model"):
            raise
        raise OSError(_not_ours(folder, "no config.json that names a network")) from error
    finally:
        logging.set_verbosity(verbosity)
    # The library fills missing weights with random numbers, and the answers would be random too.
    strays = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if strays:
        raise OSError(
            f"{folder}: expected exactly the weights that config.json asks for, but {len(strays)} are missing or unknown, among "
            f"them {strays[0]}. Copy the folder again, or train again."
        )
    if isinstance(model, ExportedModel) and device.type != "cpu":
        raise ValueError(
            f"{folder}: an exported network runs on the cpu, got the device {str(device)!r}; use torch there."
        )
    try:
        processor = AutoProcessor.from_pretrained(folder, **origin)
    except (OSError, ValueError) as error:
        if is_local or "trust_remote_code" in str(error):
            raise
        raise OSError(_not_ours(folder, "no processor_config.json beside the network")) from error
    if not is_emotion_processor(processor):
        raise OSError(_not_ours(folder, f"a {type(processor).__name__} for a {type(model).__name__}"))
    return model.to(device).eval(), processor


def is_emotion_processor(processor) -> bool:
    """Whether a processor is one of this package, also where its code came with the weights."""
    return all(hasattr(processor, name) for name in ("read", "batch", "is_speaker_normalized"))


def _not_ours(folder: str | os.PathLike, found: str) -> str:
    return (
        f"{folder}: expected a network of this package with its processor, as `tacfn push` or train.py leaves them, found {found}. "
        "Check the name."
    )


def _hub_reason(error: OSError) -> str:
    cause = error.__cause__
    if isinstance(cause, GatedRepoError):
        return "access to it has to be asked for on its page"
    if isinstance(cause, HfHubHTTPError) and cause.response.status_code in (401, 403):
        return "it is private or not there; log in with `hf auth login`, or set HF_TOKEN, if it is yours"
    return _first_line(error)


def _checked_device(device: str) -> torch.device:
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        raise ValueError(
            f"the device {device!r} cannot be used here ({_first_line(error)}); use cpu, or cuda where there is a GPU."
        ) from error
    return torch.device(device)


def _check_folder(folder: Path) -> None:
    for name in ("config.json", "processor_config.json"):
        if not (folder / name).is_file():
            raise OSError(
                f"{folder} holds no {name}: expected a folder that train.py wrote, or save_pretrained of a network and of its "
                "processor. Folds of a run are in its sub-folders."
            )


def _check_hub_name(folder: str | os.PathLike) -> None:
    try:
        validate_repo_id(os.fspath(folder))
    except HFValidationError as error:
        raise OSError(
            f"{str(folder)!r}: expected the folder of a trained network, or its name on the Hub (owner/name), but there is no "
            "such folder, and it cannot be a name. Check the path."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def speaker_statistics(processor, clips: list[dict] | None, speaker: str | os.PathLike | None = None) -> dict | None:
    """
    What a network trained on speaker-normalised features has to know of the speaker; `None` for any other network.

    Args:
        processor: from [`load`].
        clips (`list[dict]`): arguments of `processor.read` for clips of the speaker, without labels.
        speaker (`str` or `Path`, *optional*): instead of clips, the file that `tacfn adapt` made of them.

    Raises:
        MediaError: one of the clips cannot be read.
        ValueError: the file is no speaker's or another network's, or the network needs clips, and there is none.
    """
    if not processor.is_speaker_normalized:
        if clips or speaker:
            logger.warning("This network is not speaker-normalised: what is known of the speaker is not used.")
        return None
    if speaker is not None:
        return load_speaker(speaker, processor)
    if not clips and not processor.speaker_prior:
        raise ValueError(
            "this network was trained on features centred and scaled by each speaker's own clips: expected several clips "
            "of the same speaker, got none. Give them, without labels, as `speaker_clips` (`--speaker_clips` of the command), or as "
            "`speaker` of the pipeline."
        )
    if not clips:
        logger.warning(
            "Nothing is known of the speaker, so he is taken for an average one. Clips of him, without labels, make the answer "
            "better: `speaker_clips` (`speaker` of the pipeline), or `tacfn adapt` once for all."
        )
    return processor.speaker_statistics([processor.read(**arguments) for arguments in clips or []])


def answers_of(logits: torch.Tensor, problem_type: str | None) -> torch.Tensor:
    """What logits `(…, num_labels)` say: probabilities of one label of several, or of a yes to each, or numbers as they are."""
    if problem_type == "regression":
        return logits
    return logits.sigmoid() if problem_type == "multi_label_classification" else logits.softmax(-1)


@torch.inference_mode()
def predict(
    model,
    processor,
    video=None,
    audio=None,
    features=None,
    sampling_rate=None,
    speaker_clips=None,
    statistics=None,
    source="",
) -> Prediction:
    """
    Emotions of one clip.

    Args:
        model, processor: from [`load`].
        video (`str`, `Path` or `np.ndarray`, *optional*): a media file, or frames.
        audio (`str`, `Path`, `np.ndarray` or `False`, *optional*): other sound than the video's, or none.
        features (`dict`, *optional*): named features, as the processor takes them.
        sampling_rate (`int`, *optional*): rate of a waveform in Hz.
        speaker_clips (`list[dict]`, *optional*): arguments of `processor.read` for clips of the same speaker, without
            labels; needed by a network trained on speaker-normalised features.
        statistics (`dict`, *optional*): instead of `speaker_clips`, what [`speaker_statistics`] made of them: read once for
            many clips of a speaker.
        source (`str`, *optional*): name or path of the clip.

    Returns:
        [`Prediction`]

    Raises:
        MediaError: the clip cannot be read, or nothing of it can be used.
        ValueError: an input of the wrong form, or clips of the speaker are needed.
    """
    if statistics is None:
        statistics = speaker_statistics(processor, speaker_clips)
    clip = processor.read(
        video=video, audio=audio, features=features, sampling_rate=sampling_rate, keep_frames=video is not None
    )
    batch = processor.batch([clip], device=model.device, speaker=statistics)
    output = model(**batch)
    scores = answers_of(output.logits[0].float(), model.config.problem_type).cpu().tolist()
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return Prediction(
        scores={model.config.id2label[index]: scores[index] for index in order},
        is_probability=model.config.problem_type != "regression",
        clip=clip,
        weight_vectors={name: value[0].float().cpu().numpy() for name, value in (output.weight_vectors or {}).items()},
        unit_names=processor.feature_columns,
        source=source,
    )
