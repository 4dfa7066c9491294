"""
All measurements that need nothing but this machine, compared with the last committed ones of a machine of the same kind.

    python benchmarks/run.py [one_clip startup ...] [--strict] [--measured] [--write_docs]

Every stage is compared in reference operations of its own run, so that a slower hour of the machine is no slower stage. Prints what
became of each and draws `docs/images/speed.png`. Exit status 1 with `--strict` if something got slower.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from compare import FASTER, RATIOS, SLOWER, compare, table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modeling_tacfn.files import atomic_path


ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "images" / "speed.png"
# As the committed results were made.
ARGUMENTS = {"export": ["--threads", "1", "--repeats", "3"], "timeline": ["--seconds", "60", "240"]}
# Of a corpus that does not come with the project, so measured by name only.
REAL = "prepare"
# Pages of docs that show the table of a benchmark.
PAGES = {
    "startup": "speed",
    "one_clip": "speed",
    "many_clips": "speed",
    "prepare": "corpora",
    "timeline": "timeline",
    "export": "export",
    "grid": "speed",
    "scaling": "distributed",
}
# Of Okabe and Ito: told apart by all eyes, and by their shapes.
LOOKS = {
    "before": {"color": "#999999", "marker": "o"},
    "same": {"color": "#0072B2", "marker": "s"},
    "faster": {"color": "#009E73", "marker": "<"},
    "slower": {"color": "#D55E00", "marker": ">"},
    "not compared": {"color": "#000000", "marker": "D"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "benchmarks", nargs="*", metavar="NAME", help=f"{', '.join(RATIOS)}; if none is named, all but {REAL}"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something got slower")
    parser.add_argument("--measured", action="store_true", help="compare the results that lie there, measure nothing")
    parser.add_argument(
        "--write_docs", action="store_true", help="put the new tables where the committed ones stand in docs"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.benchmarks) - set(RATIOS)):
        parser.error(f"expected {', '.join(RATIOS)}, got {', '.join(unknown)}")
    rows = []
    for name in options.benchmarks or [name for name in RATIOS if name != REAL]:
        before = committed(name)
        if not options.measured:
            print(f"== {name}", flush=True)
            program = str(ROOT / "benchmarks" / f"{name}.py")
            subprocess.run([sys.executable, program, *ARGUMENTS.get(name, [])], cwd=ROOT, check=True)
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        now = json.loads(path.read_text(encoding="utf-8"))
        rows += compare(name, before, now)
        if options.write_docs and before is not None and name in PAGES:
            write_page(name, before, now)
    slower = [row for row in rows if row["verdict"] == "slower"]
    print(f"\n{table(rows)}")
    if rows:
        draw(rows, PICTURE)
        print(f"\n{PICTURE.relative_to(ROOT)}")
    print(f"{len(slower)} of {len(rows)} stages got slower (more than {SLOWER:.2f} x).")
    return int(options.strict and bool(slower))


def committed(name: str) -> dict | None:
    """The last committed record, by git; what lies in the folder where there is no git; none where neither is."""
    path = RESULTS / f"{name}.json"
    stored = subprocess.run(
        ["git", "show", f"HEAD:{path.relative_to(ROOT)}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if stored.returncode == 0:
        return json.loads(stored.stdout)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_page(name: str, before: dict, now: dict) -> None:
    """The new table where a page has that of the record before."""
    page, made = ROOT / "docs" / f"{PAGES[name]}.md", importlib.import_module(name).table
    text = page.read_text(encoding="utf-8")
    if made(before) not in text:
        print(f"{page.relative_to(ROOT)} does not show the table before: left as it is")
        return
    with atomic_path(page) as temporary:
        temporary.write_text(text.replace(made(before), made(now)), encoding="utf-8")


def draw(rows: list[dict], path: Path) -> None:
    """Every stage with its time before and now, in reference operations."""
    figure = Figure(figsize=(10, 1.2 + 0.26 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for height, row in enumerate(reversed(rows)):
        if row["before"] is not None:
            axes.plot([row["before"], row["now"]], [height, height], color="#999999", linewidth=1, zorder=1)
            axes.scatter(row["before"], height, **LOOKS["before"], s=40, zorder=2)
        axes.scatter(row["now"], height, **LOOKS.get(row["verdict"], LOOKS["not compared"]), s=28, zorder=3)
    for name, look in LOOKS.items():
        axes.scatter([], [], **look, label=name if name in ("before", "not compared") else f"now: {name}")
    axes.set_xscale("log")
    axes.margins(y=0.01)
    axes.set_yticks(range(len(rows)), [f"{row['benchmark']}: {row['stage']}" for row in reversed(rows)], fontsize=8)
    axes.set_xlabel("time in reference operations of the same run (export: in torch's own time)")
    axes.set_title(f"slower: more than {SLOWER:.2f} x; faster: less than {FASTER:.2f} x", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(LOOKS), fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


if __name__ == "__main__":
    raise SystemExit(main())
