# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Networks as ONNX or OpenVINO files, kept only if they answer as the network does."""

import importlib.metadata
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from .export_parity import TOLERANCE, differences, smallest_call
from .exported_model import FILES, REPORT, ExportedConfig, ExportedModel, mask_name, weights_digest
from .files import atomic_folder, save_json_atomic
from .prediction import load


# The newest that the oldest runtimes of setup.py read.
OPSET = 20
PACKAGES = ("modeling_tacfn", "torch", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino")


def export_network(
    folder: str | os.PathLike,
    file_format: str = "onnx",
    output: str | os.PathLike | None = None,
    trust_remote_code: bool = False,
) -> dict:
    """
    Write a trained network as a folder that a runtime other than torch can run.

    Batch size, number of frames and length of the sound and of every feature stay open; pictures have the processor's size. The
    file is compared with the network on clips of other shapes (see `export_parity.py`) before the folder appears.

    Args:
        folder (`str` or `Path`): what train.py or `save_pretrained` wrote, or a name on the Hub.
        file_format (`str`, *optional*, defaults to `"onnx"`): `"onnx"` or `"openvino"`.
        output (`str` or `Path`, *optional*): folder to make. Defaults to one in `folder`, named like the format.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether code that comes with the model may run.

    Returns:
        `dict`: what export.json in the new folder holds: format, opset, versions, sizes, differences.

    Raises:
        ImportError: packages of the extra `export` are not installed.
        OSError: there is no such network, or something stands where the folder should be.
        ValueError: the network cannot be exported, or the file answers differently.
    """
    if file_format not in FILES:
        raise ValueError(f"expected as format one of {', '.join(FILES)}, got {file_format!r}.")
    if output is None:
        if not os.path.isdir(folder):
            raise ValueError(f"expected an output folder for {folder}, which is not a folder here; give --output.")
        output = Path(folder) / file_format
    _check_installed(file_format)
    model, processor = load(folder, trust_remote_code=trust_remote_code, runtime="torch")
    model = model.float()  # weights may be saved in half precision
    shapes = input_shapes(model.config, processor)
    with atomic_folder(output) as temporary:
        output_names = write_onnx(model, shapes, temporary / "model.onnx", str(folder))
        if file_format == "openvino":
            _to_openvino(temporary)
        export = ExportedConfig(
            network=_portable(model.config.to_dict()),
            file_format=file_format,
            input_shapes=shapes,
            output_names=output_names,
            num_parameters=model.num_parameters(),
        )
        export.save_pretrained(temporary)
        save_json_atomic(temporary / "processor_config.json", _portable(json.loads(processor.to_json_string())))
        found = differences(model, ExportedModel.from_pretrained(temporary), shapes)
        worst = max(found, key=found.get)
        if found[worst] > TOLERANCE:
            raise ValueError(
                f"{folder}: expected the {file_format} file to answer as the network does, but in the case {worst!r} logits differ "
                f"by {found[worst]:.1e}, more than {TOLERANCE:.0e}. Nothing was kept; use the network itself."
            )
        report = {
            "format": file_format,
            "opset": OPSET,
            "network": model.config.model_type,
            "num_parameters": model.num_parameters(),
            "bytes": {name: (temporary / name).stat().st_size for name in FILES[file_format]},
            "input_shapes": shapes,
            "tolerance": TOLERANCE,
            "largest_difference": found[worst],
            "differences": found,
            "versions": _versions(),
            "weights": weights_digest(Path(folder)),
        }
        save_json_atomic(temporary / REPORT, report)
    return report


def input_shapes(config, processor) -> dict[str, list]:
    """The inputs of a network as [`ExportedConfig`] describes them; pictures are as large as the processor makes them."""
    if sizes := getattr(config, "feature_sizes", None):
        return {
            f"features.{name}": ["batch", sizes[name]]
            if name in config.static_features
            else ["batch", f"{name}_steps", sizes[name]]
            for name in config.modalities
        }
    pictures = processor.image_processor.size
    return {
        "input_features": ["batch", "audio_steps", config.audio_coefficients],
        "pixel_values_videos": ["batch", "frames", 3, pictures["height"], pictures["width"]],
    }


class TracedNetwork(nn.Module):
    """A network as a graph has to be: every input under a name of its own, the answers in a tuple."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        arguments = {}
        for name, tensor in inputs.items():
            kind, is_nested, feature = name.partition(".")
            if is_nested:
                arguments.setdefault(kind, {})[feature] = tensor
            else:
                arguments[kind] = tensor
        output = self.model(**arguments)
        return output.logits, *output.weight_vectors.values()


def write_onnx(model, shapes: dict[str, list], path: Path, name: str) -> list[str]:
    """
    Write a network as one ONNX file.

    Args:
        model: in evaluation mode.
        shapes (`dict[str, list]`): from [`input_shapes`].
        path (`Path`): file to make.
        name (`str`): what the network is called in an error.

    Returns:
        `list[str]`: names of the outputs.
    """
    inputs, axes = {}, {}
    for index, (key, shape) in enumerate(shapes.items()):
        # Sizes that differ from each other, so that none is taken for another.
        sizes = [2, *(40 + 7 * index if isinstance(size, str) else size for size in shape[1:])]
        open_axes = {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
        inputs |= {key: torch.zeros(sizes), mask_name(key): torch.ones(sizes[:2], dtype=torch.bool)}
        axes |= {key: open_axes, mask_name(key): open_axes}
    with torch.no_grad():
        vectors = model(**smallest_call(shapes)).weight_vectors
    output_names = ["logits", *(f"weight_vectors.{target}" for target in vectors)]
    implementation = model.config._attn_implementation
    # The plain attention stays finite where a row is masked as a whole.
    model.set_attn_implementation("eager")
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                TracedNetwork(model).eval(),
                kwargs={"inputs": inputs},
                dynamo=True,
                dynamic_shapes={"inputs": axes},
                input_names=list(inputs),
                output_names=output_names,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(
            f"{name}: torch cannot write this network ({model.config.model_type}) as ONNX ({reason}). Use the network itself."
        ) from error
    finally:
        model.set_attn_implementation(implementation)
    # The exporter notes at every node which line of which file on this machine it comes from.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    program.save(path, external_data=False)
    return output_names


def _to_openvino(folder: Path) -> None:
    import openvino

    network = openvino.convert_model(folder / "model.onnx")
    openvino.save_model(network, folder / "model.xml", compress_to_fp16=False)
    (folder / "model.onnx").unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check_installed(file_format: str) -> None:
    needed = ["onnx", "onnxscript", "onnxruntime" if file_format == "onnx" else "openvino"]
    absent = [package for package in needed if not _version(package)]
    if absent:
        raise ImportError(
            f"Exporting as {file_format} needs {', '.join(absent)}: `pip install {' '.join(absent)}`, or the extra `export`."
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str]:
    return {package: version for package in PACKAGES if (version := _version(package))}


def _portable(value):
    """A configuration without where it lay and without the code that would travel with it: this package runs the export."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items() if key not in ("auto_map", "_name_or_path")}
    return value
