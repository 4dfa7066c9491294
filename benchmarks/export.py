"""
Size, speed and exactness of the published networks as ONNX and OpenVINO files.

    python benchmarks/export.py [--repeats 5] [--threads 2]

The weights are random, which changes none of the three. Every format is timed on the same clip in turn with the network itself, so
that the ratio holds on a machine that does other things as well. Writes `benchmarks/results/export.json`.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from reference import reference_matmul_seconds

from modeling_tacfn import (
    AvtCaConfig,
    AvtCaModel,
    CfnSrConfig,
    CfnSrModel,
    TacfnConfig,
    TacfnFeatureExtractor,
    TacfnImageProcessor,
    TacfnModel,
    TacfnProcessor,
)
from modeling_tacfn.export import export_network
from modeling_tacfn.exported_model import FILES, ExportedModel
from modeling_tacfn.files import save_json_atomic
from modeling_tacfn.memory import keep_freed_memory
from modeling_tacfn.results import environment_record


RESULTS = Path(__file__).parent / "results" / "export.json"
# Name, network, frames and audio steps of a clip as its paper has them.
NETWORKS = (
    ("TACFN", TacfnModel, TacfnConfig(), 30, 212),
    ("CFN-SR", CfnSrModel, CfnSrConfig(), 30, 212),
    ("AVT-CA (released)", AvtCaModel, AvtCaConfig.released(), 15, 156),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = {
        "threads": options.threads,
        "repeats": options.repeats,
        "networks": [measure(*network, options.repeats) for network in NETWORKS],
        "environment": environment_record(),
    }
    save_json_atomic(RESULTS, record)
    print(table(record))


@torch.inference_mode()
def measure(name: str, model_class, config, frames: int, steps: int, repeats: int) -> dict:
    """Export one network in every format, then time one clip with each in turn."""
    keep_freed_memory()  # as `tacfn predict` does: torch gains most by it
    torch.manual_seed(0)
    model = model_class(config).eval()
    clip = {
        "input_features": torch.randn(1, steps, config.audio_coefficients),
        "pixel_values_videos": torch.randn(1, frames, 3, 224, 224),
    }
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        TacfnProcessor(
            TacfnFeatureExtractor(feature_size=config.audio_coefficients), TacfnImageProcessor(num_frames=frames)
        ).save_pretrained(folder)
        runners, formats = {"torch": model}, {}
        for file_format in FILES:
            started = time.perf_counter()
            report = export_network(folder, file_format)
            formats[file_format] = {
                "bytes": sum(report["bytes"].values()),
                "largest_difference": report["largest_difference"],
                "export_seconds": time.perf_counter() - started,
                "versions": report["versions"],
            }
            runners[file_format] = ExportedModel.from_pretrained(Path(folder) / file_format)
        seconds = {runtime: [] for runtime in runners}
        for _ in range(repeats + 1):
            for runtime, runner in runners.items():
                started = time.perf_counter()
                runner(**clip)
                seconds[runtime].append(time.perf_counter() - started)
    medians = {runtime: statistics.median(values[1:]) for runtime, values in seconds.items()}  # the first warms up
    for file_format, facts in formats.items():
        facts |= {"seconds": medians[file_format], "ratio_to_torch": medians[file_format] / medians["torch"]}
    return {
        "name": name,
        "num_parameters": model.num_parameters(),
        "clip": f"{frames} frames of 224x224, {steps} audio steps",
        "torch_seconds": medians["torch"],
        "reference_matmul_seconds": reference_matmul_seconds(),
        "formats": formats,
    }


def table(record: dict) -> str:
    """The table of docs/export.md."""
    lines = [
        "| Network | Parameters | Runtime | File | Seconds per clip | torch = 1 | Largest difference of logits |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for network in record["networks"]:
        named = f"| {network['name']} | {network['num_parameters']:,} |"
        lines.append(f"{named} torch | – | {network['torch_seconds']:.2f} | 1 | – |")
        for file_format, facts in network["formats"].items():
            lines.append(
                f"{named} {file_format} | {facts['bytes'] / 1e6:.1f} MB | {facts['seconds']:.2f} | "
                f"{facts['ratio_to_torch']:.2f} | {facts['largest_difference']:.0e} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
