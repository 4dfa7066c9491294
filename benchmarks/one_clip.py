"""
Seconds from a 720p file to scores with the published 26.30 M network, by stage, and peak memory.

    python benchmarks/one_clip.py [--clip clip.mp4] [--repeats 5] [--threads 2]

Without `--clip` a drawn face of 3.3 s is written first. Times on shared machines drift: every stage is also given as a ratio
to a 2048 x 2048 matrix product measured in the same run. Writes `benchmarks/results/one_clip.json`.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from modeling_tacfn import TacfnConfig, TacfnModel, TacfnProcessor
from modeling_tacfn.faces import crop_faces, find_faces
from modeling_tacfn.media import read_clip
from modeling_tacfn.memory import keep_freed_memory
from modeling_tacfn.results import environment_record, save_json_atomic


RESULTS = Path(__file__).parent / "results" / "one_clip.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    processor, model = TacfnProcessor(), TacfnModel(TacfnConfig()).eval()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or draw_clip(Path(folder) / "drawn.mp4")
        # The first of each warms up.
        returned = [measure(clip, processor, model)["network"] for _ in range(options.repeats + 1)][1:]
        keep_freed_memory()  # as `tacfn predict` does
        runs = [measure(clip, processor, model) for _ in range(options.repeats + 1)][1:]
    stages = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    reference = stages.pop("reference_matmul")
    record = {
        "clip": options.clip.name if options.clip else "drawn 1280x720, 3.3 s",
        "threads": options.threads,
        "repeats": options.repeats,
        "median_seconds": stages,
        "slowest_seconds": {name: max(run[name] for run in runs) for name in stages},
        "reference_matmul_seconds": reference,
        "ratio_to_reference": {name: value / reference for name, value in stages.items()},
        "network_seconds_where_freed_memory_is_returned": statistics.median(returned),
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "environment": environment_record(),
    }
    save_json_atomic(RESULTS, record)
    print("| stage | seconds (median) | slowest | × reference |\n|---|---|---|---|")
    for name, value in stages.items():
        print(f"| {name} | {value:.2f} | {record['slowest_seconds'][name]:.2f} | {value / reference:.1f} |")
    print(f"\nNetwork where freed memory is returned to the system: {statistics.median(returned):.2f} s.")
    print(f"Peak memory {record['peak_memory_gib']:.2f} GiB; reference product {1000 * reference:.0f} ms. {RESULTS}")


def measure(clip: Path, processor: TacfnProcessor, model: TacfnModel) -> dict[str, float]:
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
    matrix = torch.randn(2048, 2048)
    started = time.perf_counter()
    matrix @ matrix
    lap("reference_matmul")
    return seconds


def draw_clip(path: Path) -> Path:
    """A drawn, moving face with a voice-like sound: 1280x720, 25 fps, 3.3 s."""
    from dataset_scripts.synthetic import write_clip
    from dataset_scripts.synthetic_drawing import draw_face
    from dataset_scripts.synthetic_faces import EXPRESSIONS, make_face_style

    style, rate = make_face_style(1, 0), 44100
    frames = (
        draw_face(style, EXPRESSIONS["happy"].scaled(0.9), sway=(np.sin(index / 9), 0.0, 0.0), size=(1280, 720))
        for index in range(83)
    )
    time_axis = np.arange(int(3.32 * rate)) / rate
    write_clip(path, frames, (0.3 * np.sin(2 * np.pi * 180 * time_axis)).astype(np.float32))
    return path


if __name__ == "__main__":
    main()
