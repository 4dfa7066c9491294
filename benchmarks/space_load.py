"""
Many people at once at a running demo: are all answered, and is its memory back afterwards?

    tacfn demo --model runs/synthetic --port 7860 &
    python benchmarks/space_load.py http://127.0.0.1:7860 --pid $! --users 20 --seconds 60
"""

import argparse
import json
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import gradio_client


CLIP = Path(__file__).parents[1] / "modeling_tacfn" / "demo_examples" / "happy.mp4"


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found, parents = [pid], {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    for process in found:
        found += parents.get(process, [])
    return found


def memory_mib(pid: int) -> float:
    """Memory of the app and its workers; what they share is counted once (PSS)."""
    total = 0
    for process in family(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


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
            while not self.seconds or time.monotonic() < self.until:
                started = time.monotonic()
                answer = client.predict(gradio_client.handle_file(str(CLIP)), api_name="/predict")
                self.seconds.append(time.monotonic() - started)
                self.emotions[f"{answer['emotion']} {answer['score']:.4f}"] += 1
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")


def main() -> None:
    """Ask, wait, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--pid", type=int, help="process of the app, to measure its memory")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rest", type=float, default=20, help="seconds until the memory is read again")
    options = parser.parse_args()
    # The first answer of all is not what is measured.
    gradio_client.Client(options.url, verbose=False).predict(gradio_client.handle_file(str(CLIP)), api_name="/predict")
    before = memory_mib(options.pid) if options.pid else None
    started = time.monotonic()
    users = [User(options.url, started + options.seconds) for _ in range(options.users)]
    for user in users:
        user.start()
    highest = before
    while any(user.is_alive() for user in users):
        time.sleep(1)
        highest = max(highest, memory_mib(options.pid)) if options.pid else None
    lasted = time.monotonic() - started
    time.sleep(options.rest)
    seconds = sorted(second for user in users for second in user.seconds)
    facts = {
        "users": options.users,
        "seconds": round(lasted, 1),
        "answered": len(seconds),
        "users_answered": sum(bool(user.seconds) for user in users),
        "failures": [failure for user in users for failure in user.failures],
        "answers": dict(sum((user.emotions for user in users), Counter())),
        "median_seconds": round(statistics.median(seconds), 2) if seconds else None,
        "slowest_seconds": round(seconds[-1], 2) if seconds else None,
        "memory_mib": options.pid
        and {
            "before": round(before),
            "highest": round(highest),
            "after": round(memory_mib(options.pid)),
        },
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
