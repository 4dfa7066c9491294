# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Networks that `tacfn export` wrote: loaded by the Auto classes, called like the networks they were made of, run without torch."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, AutoModel, PreTrainedConfig
from transformers.utils import cached_file, logging

from .modeling_av_common import AudioVideoOutput


logger = logging.get_logger(__name__)

FILES = {"onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
# What each runtime can read, best first.
RUNTIMES = {"onnx": ("onnx",), "openvino": ("openvino", "onnx")}
RUNTIME_CHOICES = ("auto", "torch", *RUNTIMES)
# Faster than torch for every network of the package, by `benchmarks/export.py`; onnxruntime is not.
FASTEST = "openvino"
REPORT = "export.json"
MODALITIES = {"input_features": "audio", "pixel_values_videos": "video"}
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")

Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@strict
class ExportedConfig(PreTrainedConfig):
    r"""
    What an exported file is: the network it was made of, its inputs and its outputs.

    Args:
        network (`dict`, *optional*): configuration of the network, with its `model_type` and its labels.
        file_format (`str`, *optional*, defaults to `"onnx"`): `"onnx"` or `"openvino"`.
        input_shapes (`dict[str, list]`, *optional*): by name of an input its shape, a word where any size goes:
            `{"input_features": ["batch", "audio_steps", 13]}`; a named feature is called `features.NAME`. Every input has a
            mask, of the shape's first two sizes.
        output_names (`list[str]`, *optional*): `logits` and, for each reinforced modality, `weight_vectors.NAME`.
        num_parameters (`int`, *optional*, defaults to 0): of the network.
    """

    model_type = "tacfn_exported"
    _auto_class = None

    network: dict | None = None
    file_format: str = "onnx"
    input_shapes: dict | None = None
    output_names: list[str] | tuple[str, ...] = ("logits",)
    num_parameters: int = 0

    def validate_export(self):
        if self.file_format not in FILES:
            raise ValueError(f"`file_format` must be one of {', '.join(FILES)}, got {self.file_format!r}.")


class ExportedModel:
    r"""
    An exported network in evaluation, called like the one it was made of.

    Runs on the CPU in single precision, without gradients, wherever its inputs are. `config` is the network's own;
    `export` says what the file is, `runtime` what runs it.

    Example:

    ```python
    model = AutoModel.from_pretrained("runs/tacfn/onnx", runtime="auto")
    logits = model(**processor(videos="clip.mp4")).logits
    ```
    """

    config_class = ExportedConfig
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, export: ExportedConfig, files: list[Path], runtime: str):
        inputs, self.run = SESSIONS[runtime](files[0])
        shapes = export.input_shapes or {}
        wanted = {*shapes, *map(mask_name, shapes)}
        fits = len(inputs) == len(wanted) and all(wanted & names for names in inputs)
        if not fits or "model_type" not in (export.network or {}):
            raise OSError(
                f"{files[0]}: expected a file that fits the config.json beside it, but that describes another network. Copy "
                "the folder again, or export again."
            )
        self.export = export
        self.config = AutoConfig.for_model(**export.network)
        self.files = files
        self.runtime = runtime

    @classmethod
    def from_pretrained(
        cls, name, *, config=None, runtime: str = "auto", dtype=None, output_loading_info: bool = False, **kwargs
    ):
        """
        Load what `tacfn export` wrote; the Auto classes and `pipeline` come here.

        Args:
            name (`str` or `Path`): the folder, or its name on the Hub.
            config ([`ExportedConfig`], *optional*): read from the folder if not given.
            runtime (`str`, *optional*, defaults to `"auto"`): `"onnx"` (onnxruntime), `"openvino"`, which reads either format,
                or `"auto"`: that of the file.
            dtype (`torch.dtype`, *optional*): single precision, the only one there is.
            output_loading_info (`bool`, *optional*, defaults to `False`): return an empty report as well, as other models do.
            kwargs: which files of the Hub, as transformers takes them; others have no meaning here.

        Raises:
            ImportError: the runtime is not installed.
            OSError: files are missing or damaged.
            ValueError: the runtime cannot read this format.
        """
        hub = {key: kwargs[key] for key in HUB_ARGUMENTS if key in kwargs}
        export = ExportedConfig.from_pretrained(name, **hub) if config is None else config
        if dtype not in (None, "auto", "float32", torch.float32):
            raise ValueError(f"expected single precision of an exported network, got `dtype` {dtype}; leave it out.")
        runtime = _runtime_of(name, export.file_format, runtime)
        files = [Path(cached_file(name, file, **hub)) for file in FILES[export.file_format]]
        model = cls(export, files, runtime)
        return (model, {"missing_keys": [], "unexpected_keys": []}) if output_loading_info else model

    def __call__(
        self,
        input_features: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        video_mask: torch.Tensor | None = None,
        features: Mapping[str, torch.Tensor] | None = None,
        feature_masks: Mapping[str, torch.Tensor] | None = None,
    ) -> AudioVideoOutput:
        """
        Classify clips. Arguments are those of the network's own `forward`; any modality may be left out.

        Returns:
            [`AudioVideoOutput`]: `logits` and `weight_vectors`, on the CPU.

        Raises:
            ValueError: no input that the network knows, or one of another rank or size than it takes.
        """
        values = {"input_features": input_features, "pixel_values_videos": pixel_values_videos}
        masks = {"input_features": audio_mask, "pixel_values_videos": video_mask}
        for name, tensor in (features or {}).items():
            values[f"features.{name}"] = tensor
            masks[f"features.{name}"] = (feature_masks or {}).get(name)
        if input_features is not None and "features.audio" in self.export.input_shapes:
            values["features.audio"], masks["features.audio"] = values.pop("input_features"), audio_mask
        values = {name: tensor for name, tensor in values.items() if tensor is not None}
        self._check(values)
        answers = self.run(complete_inputs(self.export.input_shapes, values, masks))
        outputs = {name: torch.from_numpy(np.array(answers[name])) for name in self.export.output_names}
        # What was left out is not reinforced, though the graph has an answer for it.
        vectors = {target: outputs.get(f"weight_vectors.{target}") for target in map(modality_of, values)}
        return AudioVideoOutput(
            logits=outputs["logits"],
            weight_vectors={target: vector for target, vector in vectors.items() if vector is not None},
        )

    def _check(self, values: Mapping[str, torch.Tensor]) -> None:
        shapes = self.export.input_shapes
        unknown = sorted(set(values) - set(shapes))
        if unknown or not values:
            raise ValueError(f"This network takes {', '.join(shapes)}; got {', '.join(unknown) or 'none of them'}.")
        for name, tensor in values.items():
            fits = len(shapes[name]) == tensor.ndim and all(
                isinstance(wanted, str) or wanted == size
                for wanted, size in zip(shapes[name], tensor.shape, strict=True)
            )
            if not fits:
                shape = ", ".join(map(str, shapes[name]))
                raise ValueError(
                    f"`{name}` must be ({shape}), got {tuple(tensor.shape)}; make it with this model's own processor."
                )

    def eval(self) -> "ExportedModel":
        return self

    def to(self, *args, **kwargs) -> "ExportedModel":
        """Stay where it is: `pipeline` moves a network to the accelerator that it finds."""
        if args and torch.device(args[0] if isinstance(args[0], (str, torch.device)) else "cpu").type != "cpu":
            logger.warning_once("An exported network runs on the CPU; for an accelerator take the network itself.")
        return self

    def num_parameters(self) -> int:
        return self.export.num_parameters

    def can_generate(self) -> bool:
        return False

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs) -> None:
        """Copy the exported file and its configuration."""
        self.export.save_pretrained(save_directory)
        for file in self.files:
            shutil.copyfile(file, Path(save_directory) / file.name)


class FastestModel(AutoModel):
    """
    The network of a folder as `pipeline` loads it: by `AutoModel`, or what was exported of it where that is faster.

    That is on a machine without an accelerator, if `tacfn export` was run on these weights and OpenVINO is installed.
    `model_kwargs={"runtime": "torch"}` of `pipeline` asks for the network itself.
    """

    @classmethod
    def from_pretrained(cls, name, *, runtime: str = "auto", **kwargs):
        """As `AutoModel.from_pretrained`; `runtime` as in [`~exported_model.find_exported`]."""
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        origin = {key: kwargs[key] for key in (*HUB_ARGUMENTS, "trust_remote_code") if key in kwargs}
        network, options = find_exported(name, AutoConfig.from_pretrained(name, **origin), runtime, device)
        return AutoModel.from_pretrained(network, **kwargs, **options)


def modality_of(name: str) -> str:
    """What the network calls the modality of an input."""
    return MODALITIES.get(name) or name.removeprefix("features.")


def mask_name(name: str) -> str:
    """What the mask of an input is called."""
    return f"{MODALITIES[name]}_mask" if name in MODALITIES else f"feature_masks.{modality_of(name)}"


def complete_inputs(
    input_shapes: Mapping, values: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor | None]
) -> dict[str, np.ndarray]:
    """
    All inputs of an exported graph: what is left out becomes one masked step, a missing mask calls everything real.

    Args:
        input_shapes (`Mapping`): as in [`ExportedConfig`].
        values (`Mapping[str, torch.Tensor]`): by name those that are there.
        masks (`Mapping[str, torch.Tensor]`): by name of the input, 1 for real steps; `None` where there is none.
    """
    batch = len(next(iter(values.values())))
    complete = {}
    for name, shape in input_shapes.items():
        if name in values:
            complete[name] = np.ascontiguousarray(values[name].detach().float().cpu().numpy())
            mask = masks.get(name)
            mask = np.ones(complete[name].shape[:2], bool) if mask is None else mask.detach().bool().cpu().numpy()
        else:
            sizes = [batch, *(1 if isinstance(size, str) else size for size in shape[1:])]
            complete[name] = np.zeros(sizes, np.float32)
            mask = np.zeros(sizes[:2], bool)
        complete[mask_name(name)] = np.ascontiguousarray(mask)
    return complete


def find_exported(
    folder: str | os.PathLike, config: PreTrainedConfig, runtime: str, device: torch.device
) -> tuple[str | os.PathLike, dict]:
    """
    Where the network that `runtime` asks for is, and what `AutoModel.from_pretrained` is to be told of it.

    Args:
        folder (`str` or `Path`): folder or name of a network, exported or not.
        config ([`PreTrainedConfig`]): what is there.
        runtime (`str`): `"auto"`, `"torch"`, `"onnx"` or `"openvino"`. Of a network with weights the last two are looked for in
            the folder beside the weights where `tacfn export` puts them if it is not told otherwise; `"auto"` lets OpenVINO run
            what of these was made of these very weights, if it is installed, else torch the network itself.
        device (`torch.device`): where the network is to run; what is exported runs on the CPU only.

    Raises:
        ValueError: the runtime is unknown, or there is nothing for it.
    """
    if runtime not in RUNTIME_CHOICES:
        raise ValueError(f"expected as runtime one of {', '.join(RUNTIME_CHOICES)}, got {runtime!r}.")
    if isinstance(config, ExportedConfig):
        return folder, {"runtime": _runtime_of(folder, config.file_format, runtime)}
    if runtime == "auto" and device.type == "cpu":
        return _fastest(Path(folder)) or (folder, {})
    if runtime not in RUNTIMES:
        return folder, {}
    for file_format in RUNTIMES[runtime]:
        if (Path(folder) / file_format / "config.json").is_file():
            return Path(folder) / file_format, {"runtime": runtime}
    raise ValueError(
        f"{folder}: expected an exported network for the runtime {runtime}, found weights only. Make one with `tacfn export "
        f"{folder} --format {runtime}`, or use the runtime torch."
    )


def _fastest(folder: Path) -> tuple[Path, dict] | None:
    """Of what was exported beside the weights of a folder, what answers soonest."""
    if not find_spec(FASTEST):
        return None
    candidates = [folder / file_format for file_format in RUNTIMES[FASTEST]]
    candidates = [exported for exported in candidates if (exported / REPORT).is_file()]
    if not candidates:
        return None
    weights = weights_digest(folder)
    for exported in candidates:
        if json.loads((exported / REPORT).read_text(encoding="utf-8")).get("weights") == weights:
            return exported, {"runtime": FASTEST}
    logger.warning(
        f"{candidates[0]} was not made of the weights beside it: torch runs the network. Remove that folder, and run `tacfn "
        "export` again."
    )
    return None


def weights_digest(folder: Path) -> str | None:
    """SHA-256 of the weights in a folder; `None` if there are none, as of a name on the Hub."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest() if files else None


def _runtime_of(name, file_format: str, runtime: str) -> str:
    if runtime == "auto":
        return file_format
    if file_format not in RUNTIMES.get(runtime, ()):
        raise ValueError(
            f"{name}: expected what the runtime {runtime!r} can run, but this is a network exported as {file_format}. Use the "
            "runtime auto, or the folder that it was exported from."
        )
    return runtime


def onnx_session(path: Path) -> tuple[list[set[str]], Run]:
    """Load a file into onnxruntime; return the names of each of its inputs and what runs it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(_not_installed("onnxruntime")) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # its optimiser warns of what it leaves as it is
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own in Python
        raise OSError(_damaged(path, error)) from error
    names = [output.name for output in session.get_outputs()]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return [{item.name} for item in session.get_inputs()], run


def openvino_session(path: Path) -> tuple[list[set[str]], Run]:
    """Load a file into OpenVINO; return the names of each of its inputs and what runs it."""
    try:
        import openvino
    except ImportError as error:
        raise ImportError(_not_installed("openvino")) from error
    # Half precision, which it takes where the processor has it, would break the law in the third digit.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    try:
        compiled = openvino.Core().compile_model(os.fspath(path), "CPU", options)
    except RuntimeError as error:
        raise OSError(_damaged(path, error)) from error
    # One tensor has several names where the steps between them do nothing, such as centring by 0.
    outputs = {name: output for output in compiled.outputs for name in output.get_names()}

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = compiled(inputs)
        return {name: answers[output] for name, output in outputs.items()}

    return [item.get_names() for item in compiled.inputs], run


SESSIONS = {"onnx": onnx_session, "openvino": openvino_session}


def _not_installed(package: str) -> str:
    return (
        f"Running this exported network needs {package}: `pip install {package}`, or the extra `export`. "
        "The network itself, the folder it was exported from, needs torch only."
    )


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return f"{path}: expected a whole exported network, but it cannot be read ({reason[-1] if reason else error!r}). Export it again."


__all__ = ["ExportedConfig", "ExportedModel", "FastestModel"]
