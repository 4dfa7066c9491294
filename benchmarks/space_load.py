"""
Many people at once at a running demo: are all answered, and is its memory back afterwards?

    python benchmarks/space_load.py --model runs/synthetic --users 20 --seconds 60

Writes `benchmarks/results/space_load.json`.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio_client
from reference import environment, memory_mib, reference_matmul_seconds

from modeling_tacfn.results import save_json_atomic


ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "space_load.json"
CLIP = ROOT / "modeling_tacfn" / "demo_examples" / "happy.mp4"


class User(threading.Thread):
    """Asks again and again until the time is over."""

    def __init__(self, url: str, until: float):
        super().__init__(daemon=True)
        self.url, self.until = url, until
        self.seconds: list[float] = []
        self.emotions: Counter = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        try:
            client = gradio_client.Client(self.url, verbose=False)
            while True:
                started = time.monotonic()
                answer = client.predict(gradio_client.handle_file(str(CLIP)), api_name="/predict")
                self.seconds.append(time.monotonic() - started)
                self.emotions[f"{answer['emotion']} {answer['score']:.4f}"] += 1
                if time.monotonic() >= self.until:
                    return
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running_demo(model: str):
    """The demo as `tacfn demo` starts it; its address and its process."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "tacfn", "demo", "--model", model, "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                with suppress(OSError), urllib.request.urlopen(url):
                    break
                time.sleep(0.5)
            else:
                raise SystemExit(f"The demo did not start; `tacfn demo --model {model}` says why.")
            yield url, process.pid
        finally:
            process.terminate()


def asked_alone(url: str, count: int) -> list[float]:
    """Seconds of answers that nobody else is asking beside; the very first is not counted."""
    alone = User(url, 0.0)
    for _ in range(count + 1):
        alone.run()
    return alone.seconds[1:]


def main() -> None:
    """Start the demo, ask, wait, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="runs/synthetic", help="folder of a trained network, or its name on the Hub"
    )
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rest", type=float, default=20, help="seconds until the memory is read again")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with running_demo(options.model) as (url, pid):
        facts = measure(url, pid, options)
    save_json_atomic(options.output, facts)
    print(json.dumps(facts, indent=2))
    print(sentence(facts))


def measure(url: str, pid: int, options) -> dict:
    alone = asked_alone(url, 5)
    before = memory_mib(pid)
    started = time.monotonic()
    users = [User(url, started + options.seconds) for _ in range(options.users)]
    for user in users:
        user.start()
    highest = before
    while any(user.is_alive() for user in users):
        time.sleep(1)
        highest = max(highest, memory_mib(pid))
    lasted = time.monotonic() - started
    time.sleep(options.rest)
    seconds = sorted(second for user in users for second in user.seconds)
    return {
        "model": Path(options.model).name,
        "users": options.users,
        "seconds": round(lasted, 1),
        "seconds_of_one_user": {"median": round(statistics.median(alone), 2), "slowest": round(max(alone), 2)},
        "answered": len(seconds),
        "users_answered": sum(bool(user.seconds) for user in users),
        "failures": [failure for user in users for failure in user.failures],
        "answers": dict(sum((user.emotions for user in users), Counter())),
        "median_seconds": round(statistics.median(seconds), 2) if seconds else None,
        "slowest_seconds": round(seconds[-1], 2) if seconds else None,
        "memory_mib": {"before": round(before), "highest": round(highest), "after": round(memory_mib(pid))},
        "reference_matmul_seconds": reference_matmul_seconds(),
        "environment": environment(),
    }


def sentence(facts: dict) -> str:
    """The measurement as the page of the Space quotes it."""
    alone, memory = facts["seconds_of_one_user"], facts["memory_mib"]
    return (
        f"One person waits {alone['median']:.1f} s for an answer; of {facts['users']} who ask all the time for a minute, each waits "
        f"{facts['median_seconds']:.1f} s (median; {facts['slowest_seconds']:.1f} s at most): {facts['answered']} answers, "
        f"{len(facts['failures'])} failures, {memory['before']} MiB of memory before, {memory['highest']} at most, "
        f"{memory['after']} after."
    )


if __name__ == "__main__":
    main()
