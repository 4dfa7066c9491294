"""
Seconds until something happens: the import of the package, the help of the command, a sound file from the shell to the answer.

    python benchmarks/startup.py [--repeats 5]

Every measurement is a new process. The import is counted beyond what the classes of torch and transformers that every network
needs take; their own import is given beside it. Times on shared machines drift: each is also given in 2048 x 2048 matrix products
measured in the same run. Writes `benchmarks/results/startup.json`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
from reference import reference_matmul_seconds

from modeling_tacfn.results import environment_record, save_json_atomic


ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "startup.json"
IMPORTS = """
import runpy, time
runpy.run_path("modeling_tacfn/torchaudio_cpu.py")["make_importable"]()
started = time.perf_counter()
import torch
from transformers import AutoModel, AutoProcessor, Pipeline, PreTrainedModel, ProcessorMixin
from transformers.pipelines import PIPELINE_REGISTRY
libraries = time.perf_counter()
import modeling_tacfn
print(libraries - started, time.perf_counter() - libraries)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sound = write_tone(Path(folder) / "speech.wav")
        runs = [measure(sound) for _ in range(options.repeats + 1)][1:]  # the first reads the files from disk
    record = {
        "repeats": options.repeats,
        "median_seconds": {name: statistics.median(run[name] for run in runs) for name in runs[0]},
        "slowest_seconds": {name: max(run[name] for run in runs) for name in runs[0]},
        "reference_matmul_seconds": reference_matmul_seconds(),
        "environment": environment_record(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{RESULTS}")


def table(record: dict) -> str:
    """The table of docs/speed.md."""
    lines = ["| start-up | seconds (median) | slowest | reference products |", "|---|---:|---:|---:|"]
    for name, seconds in record["median_seconds"].items():
        products = seconds / record["reference_matmul_seconds"]
        lines.append(f"| {name} | {seconds:.2f} | {record['slowest_seconds'][name]:.2f} | {products:.1f} |")
    return "\n".join(lines)


def measure(sound: Path) -> dict[str, float]:
    """Seconds of each, once."""
    libraries, package = map(float, run("-c", IMPORTS).split())
    seconds = {"import of torch and transformers": libraries, "import of modeling_tacfn beyond them": package}
    for name, arguments in (
        ("tacfn --help", ["--help"]),
        ("tacfn predict of a sound file", ["predict", str(sound), "--model", "examples/tacfn-ravdess-au"]),
    ):
        started = time.perf_counter()
        run("-m", "tacfn", *arguments)
        seconds[name] = time.perf_counter() - started
    return seconds


def run(*arguments: str) -> str:
    """What a new Python prints."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def write_tone(path: Path, seconds: float = 3.3, rate: int = 48000) -> Path:
    """A voice-like sound in 16 bits."""
    time_axis = np.arange(round(seconds * rate)) / rate
    voice = 0.3 * np.sin(2 * np.pi * 180 * time_axis) * np.abs(np.sin(2 * np.pi * 2 * time_axis))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((voice * 32767).astype("<i2").tobytes())
    return path


if __name__ == "__main__":
    main()
