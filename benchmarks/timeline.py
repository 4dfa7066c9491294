"""
Real-time factor of a timeline (seconds of work per second of recording) and its memory, by the length of the recording.

    python benchmarks/timeline.py [--recording talk.mp4 ...] [--seconds 30 120] [--threads 2]

Without `--recording` a drawn, moving face with a voice-like sound is written first, 1280x720 at 25 fps, once for each length. Every
recording is followed with windows of 3 s every second, by the published 26.30 M network and by the small one of
`configs/synthetic.yaml`, each in a process of its own. Times on shared machines drift: the work is also given in 2048 x 2048 matrix
products measured in the same run. Writes `benchmarks/results/timeline.json`.
"""

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from material import make_network
from reference import environment, reference_matmul_seconds, run_alone

from modeling_tacfn.memory import keep_freed_memory
from modeling_tacfn.results import save_json_atomic
from modeling_tacfn.timeline import make_timeline


RESULTS = Path(__file__).parent / "results" / "timeline.json"
NETWORKS = ("published", "small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, nargs="+", default=[30, 120])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        recordings = options.recording or [
            draw_recording(Path(folder) / f"{seconds:g}.mp4", seconds) for seconds in options.seconds
        ]
        for network, recording in itertools.product(NETWORKS, recordings):
            rows.append(run_alone(measure, network, recording, options.threads))
    record = {
        "recordings": [path.name for path in options.recording or ()] or "drawn 1280x720, 25 fps",
        "threads": options.threads,
        "runs": rows,
        "environment": environment(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{RESULTS}")


def table(record: dict) -> str:
    """The table of docs/timeline.md."""
    lines = [
        "| network | parameters | recording, s | real-time factor | reference products per second | peak memory, MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in record["runs"]:
        factor = row["work_seconds"] / row["seconds"]
        lines.append(
            f"| {row['network']} | {row['num_parameters']:,} | {row['seconds']:.0f} | {factor:.2f} | "
            f"{factor / row['reference_matmul_seconds']:.1f} | {row['peak_memory_mib']:.0f} |"
        )
    return "\n".join(lines)


def measure(network: str, recording: Path, threads: int) -> dict:
    """Follow one recording from beginning to end."""
    keep_freed_memory()  # as `tacfn timeline` does
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, processor = make_network(network)
    started = time.perf_counter()
    timeline = make_timeline(model, processor, recording)
    work = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "network": network,
        "num_parameters": model.num_parameters(),
        "seconds": timeline.seconds,
        "windows": len(timeline.windows),
        "work_seconds": work,
        "reference_matmul_seconds": reference_matmul_seconds(),
        "peak_memory_mib": peak,
    }


def draw_recording(path: Path, seconds: float) -> Path:
    """Four seconds of a moving face, again and again, with a voice-like sound."""
    from dataset_scripts.synthetic import write_clip
    from dataset_scripts.synthetic_drawing import draw_face
    from dataset_scripts.synthetic_faces import EXPRESSIONS, make_face_style

    style, rate = make_face_style(1, 0), 44100
    frames = [
        draw_face(style, EXPRESSIONS["happy"], sway=(np.sin(2 * np.pi * index / 100), 0.0, 0.0), size=(1280, 720))
        for index in range(100)
    ]
    time_axis = np.arange(round(seconds * rate)) / rate
    voice = 0.3 * np.sin(2 * np.pi * 180 * time_axis) * np.abs(np.sin(2 * np.pi * 2 * time_axis))
    write_clip(path, (frames[index % 100] for index in range(round(25 * seconds))), voice.astype(np.float32))
    return path


if __name__ == "__main__":
    main()
