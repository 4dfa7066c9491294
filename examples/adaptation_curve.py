# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
How many unlabelled clips of a speaker are worth giving: WAR against their number, for speaker-normalised networks.

    python examples/adaptation_curve.py --config configs/ravdess_au.yaml --data_dir RAVDESS runs/ravdess_au/*_speaker-normalised

The networks are those that `train.py --protocol speaker-normalised` left; nothing is trained. For each number of clips, that
many are drawn of every test speaker, several times; what is known of him is estimated from them and from what is usual of
the training speakers, and all of his clips are judged. Writes adaptation.json and adaptation.png.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm.auto import tqdm
from transformers import AutoModel

from modeling_tacfn.adaptation import speaker_prior
from modeling_tacfn.aggregation import summarize
from modeling_tacfn.data import ClipCollator, modality_of
from modeling_tacfn.experiment import load_inputs, parse_arguments
from modeling_tacfn.feature_arrays import speaker_estimate
from modeling_tacfn.files import atomic_path
from modeling_tacfn.results import environment_record, load_results, save_json_atomic


COUNTS = (0, 1, 2, 5, 10, 20, 60)


def curve_of_method(folder: Path, shared: list[str], counts: list[int], num_draws: int) -> dict:
    """WAR and UAR of one method's networks for every number of clips, with the interval over speakers."""
    results = load_results(folder / "results.json")
    modalities = results["settings"]["modalities"]
    kept = ["--modalities", *modalities] if modalities else []
    corpus, clips, processor = load_inputs(parse_arguments([*shared, "--protocol", "speaker-normalised", *kept]))
    rows = {clip_id: row for row, clip_id in enumerate(corpus["clip_id"][:])}
    speakers = np.array(corpus["speaker_id"][:])
    labels = results["labels"]
    collator = ClipCollator(len(labels), processor.image_processor)
    runs = {count: [] for count in counts}
    for run in tqdm(results["runs"], desc=results["name"], unit="network"):
        model = AutoModel.from_pretrained(folder / f"fold_{run['fold']}_seed_{run['seed']}").eval()
        training = np.flatnonzero(np.isin(speakers, run["splits"]["train"]))
        prior = speaker_prior([clips[row] for row in training], speakers[training])
        tested = [rows[item["clip_id"]] for item in run["predictions"]]
        draw = np.random.default_rng(run["seed"])
        for count in counts:
            most = max(np.sum(speakers[tested] == speaker) for speaker in run["splits"]["test"])
            # All of a speaker's clips, or none of them, can be drawn in one way only.
            for repeat in range(num_draws if 0 < count < most else 1):
                adapted = adapted_clips(clips, tested, speakers, prior, count, draw)
                batch = collator([{"index": row, "label": 0, "clip": clip} for row, clip in adapted.items()])
                with torch.inference_mode():
                    inputs = {name: value for name, value in batch.items() if name not in ("index", "labels")}
                    probabilities = model(**inputs).logits.softmax(1).numpy()
                runs[count].append(
                    {
                        "fold": run["fold"],
                        "seed": f"{run['seed']}/{repeat}",
                        "predictions": [
                            item | {"probabilities": probability}
                            for item, probability in zip(run["predictions"], probabilities, strict=True)
                        ],
                    }
                )
    curve = []
    for count, of_count in runs.items():
        summary = summarize(of_count, labels)
        curve.append({"clips": count, "war": summary["war"], "uar": summary["uar"], "num_runs": summary["num_runs"]})
    return {"name": results["name"], "corpus": results["corpus"], "curve": curve}


def adapted_clips(clips, tested, speakers, prior, count: int, draw) -> dict[int, dict]:
    """The tested clips, each centred and scaled by what is known of its speaker from `count` of his clips."""
    adapted = {}
    for speaker in dict.fromkeys(speakers[tested]):
        own = [row for row in tested if speakers[row] == speaker]
        known = draw.choice(own, min(count, len(own)), replace=False) if count else []
        arrays = sorted({array for row in own for array in clips[row]})
        estimates = {
            array: speaker_estimate(
                [clips[row][array] for row in known if array in clips[row]], prior[modality_of(array)]
            )
            for array in arrays
        }
        for row in own:
            adapted[row] = {
                array: ((values - estimates[array][0]) / estimates[array][1]).astype(np.float32)
                for array, values in clips[row].items()
            }
    return {row: adapted[row] for row in tested}


def draw_curves(methods: list[dict], path: Path) -> None:
    """One line per method with its 95 % interval over speakers."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for method, colour, marker in zip(
        methods, ("#0072B2", "#D55E00", "#009E73", "#CC79A7") * 4, "os^D" * 4, strict=False
    ):
        counts = range(len(method["curve"]))
        values = [100 * point["war"]["pooled"] for point in method["curve"]]
        low, high = (
            np.array([100 * point["war"]["interval_95"][side] for point in method["curve"]]) for side in (0, 1)
        )
        axes.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(counts, values, color=colour, marker=marker, label=method["name"].replace("_", " "))
    axes.set_xticks(range(len(methods[0]["curve"])), [str(point["clips"]) for point in methods[0]["curve"]])
    axes.set_xlabel("unlabelled clips of the speaker")
    axes.set_ylabel("WAR in percent, 95 % interval over speakers")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of speaker-normalised runs")
    parser.add_argument("--config", required=True, help="the file they were trained with")
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="numbers of clips")
    parser.add_argument("--draws", type=int, default=5, help="how often clips are drawn")
    parser.add_argument("--output", type=Path, default=Path("runs/adaptation"))
    arguments = parser.parse_args()
    shared = ["--config", arguments.config, "--data_dir", arguments.data_dir]
    methods = [curve_of_method(folder, shared, arguments.counts, arguments.draws) for folder in arguments.folders]
    save_json_atomic(
        arguments.output / "adaptation.json",
        {"num_draws": arguments.draws, "environment": environment_record(), "methods": methods},
    )
    draw_curves(methods, arguments.output / "adaptation.png")
    for method in methods:
        points = ", ".join(f"{point['clips']}: {100 * point['war']['pooled']:.1f}" for point in method["curve"])
        print(f"{method['name']}: WAR by clips of the speaker {points}")


if __name__ == "__main__":
    main()
