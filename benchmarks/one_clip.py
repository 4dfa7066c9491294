"""
Seconds from a 720p file to scores with the published 26.30 M network, by stage, and peak memory.

    python benchmarks/one_clip.py [--clip clip.mp4] [--repeats 5] [--threads 2]

Without `--clip` a drawn face of 3.3 s is written first. The network runs as torch alone would run it, as this package runs it, and as
each runtime that is installed runs what is exported of it (an export takes a minute). Times on shared machines drift: every stage is also given as a ratio
to a 2048 x 2048 matrix product measured in the same run. Writes `benchmarks/results/one_clip.json`.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from material import DRAWN, draw_clip
from reference import environment, reference_matmul_seconds

from modeling_tacfn import ExportedModel, TacfnConfig, TacfnModel, TacfnProcessor
from modeling_tacfn.export import export_network
from modeling_tacfn.exported_model import RUNTIMES
from modeling_tacfn.faces import crop_faces, find_faces
from modeling_tacfn.media import read_clip
from modeling_tacfn.memory import keep_freed_memory
from modeling_tacfn.results import save_json_atomic


RESULTS = Path(__file__).parent / "results" / "one_clip.json"
PLAIN, RETURNED, KEPT = "torch, plain", "torch, channels last", "torch, channels last, freed memory kept"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    processor, model = TacfnProcessor(), TacfnModel(TacfnConfig()).eval()
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or draw_clip(Path(folder) / "drawn.mp4")

        def repeat(network) -> list[dict[str, float]]:
            return [measure(clip, processor, network) for _ in range(options.repeats + 1)][1:]  # the first warms up

        # What the network does not do: frames as they lie in memory, one after the other.
        with mock.patch.object(torch, "channels_last_3d", torch.contiguous_format):
            runs[PLAIN] = repeat(model)
        runs[RETURNED] = repeat(model)
        keep_freed_memory()  # as `tacfn predict` does
        runs[KEPT] = repeat(model)
        for runtime, exported in exported_models(model, processor, Path(folder)):
            runs[runtime] = repeat(exported)
    medians = {
        name: {stage: statistics.median(run[stage] for run in some) for stage in some[0]}
        for name, some in runs.items()
    }
    stages = {name: seconds for name, seconds in medians[KEPT].items() if name != "reference_matmul"}
    reference = statistics.median(run["reference_matmul"] for some in runs.values() for run in some)
    networks = {name: median["network"] for name, median in medians.items()}
    record = {
        "clip": options.clip.name if options.clip else DRAWN,
        "threads": options.threads,
        "repeats": options.repeats,
        "median_seconds": stages,
        "slowest_seconds": {name: max(run[name] for run in runs[KEPT]) for name in stages},
        "network_seconds": networks,
        "total_seconds": {name: median["total"] for name, median in medians.items()},
        "reference_matmul_seconds": reference,
        "ratio_to_reference": {name: value / reference for name, value in stages.items()}
        | {f"network, {name}": value / reference for name, value in networks.items() if name != KEPT},
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "environment": environment(),
    }
    save_json_atomic(options.output, record)
    print(table(record))
    print(
        f"\nReference product {1000 * reference:.0f} ms; peak memory {record['peak_memory_gib']:.2f} GiB. {options.output}"
    )


def exported_models(model: TacfnModel, processor: TacfnProcessor, folder: Path) -> Iterator[tuple[str, ExportedModel]]:
    """The network as each runtime that is installed runs it; an export takes a minute."""
    model.save_pretrained(folder / "network")
    processor.save_pretrained(folder / "network")
    for runtime in RUNTIMES:
        try:
            export_network(folder / "network", runtime)
        except ImportError as error:
            print(f"{runtime} is left out: {error}")
            continue
        yield runtime, ExportedModel.from_pretrained(folder / "network" / runtime)


def table(record: dict) -> str:
    """The measurement as a page quotes it."""
    lines = ["| stage | seconds (median) | slowest | × reference |", "| --- | ---: | ---: | ---: |"]
    for name, seconds in record["median_seconds"].items():
        slowest, ratio = record["slowest_seconds"][name], record["ratio_to_reference"][name]
        lines.append(f"| {name} | {seconds:.2f} | {slowest:.2f} | {ratio:.1f} |")
    lines += ["", "| what runs the network | network (s) | from file to scores (s) |", "| --- | ---: | ---: |"]
    for name, seconds in record["network_seconds"].items():
        lines.append(f"| {name} | {seconds:.2f} | {record['total_seconds'][name]:.2f} |")
    return "\n".join(lines)


def measure(clip: Path, processor: TacfnProcessor, model) -> dict[str, float]:
    """One run through the stages that `processor(videos=clip)` and `model(**inputs)` go through."""
    seconds, started = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[name], started = now - started, now

    media = read_clip(clip, processor.image_processor.num_frames)
    lap("decode")
    boxes = find_faces(media.frames)
    lap("find the face")
    if boxes is None:
        raise SystemExit(f"No face was found in {clip}; give a clip with one.")
    size = processor.image_processor.size["height"]
    crops = crop_faces(media.frames, boxes, size, processor.image_processor.face_margin)
    pixels = processor.image_processor.preprocess([crops], cropped=True, return_tensors="pt")
    lap("crop and normalise")
    sound = processor.feature_extractor(media.waveform, media.sampling_rate, return_tensors="pt")
    lap("MFCC")
    with torch.inference_mode():
        model(**pixels, **sound)
    lap("network")
    seconds["total"] = sum(seconds.values())
    seconds["reference_matmul"] = reference_matmul_seconds()
    return seconds


if __name__ == "__main__":
    main()
