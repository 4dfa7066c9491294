# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What a model card is written from: a trained folder, a folder of many runs, or a results file alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from .feature_extraction_tacfn import TacfnFeatureExtractor
from .image_processing_tacfn import TacfnImageProcessor
from .local_paths import without_paths_in
from .processing_tacfn import TacfnProcessor
from .results import RANDOM_CLIPS, load_results
from .tasks import EmotionTask, make_task


RESULTS, CONFIG, PROCESSOR = "results.json", "config.json", "processor_config.json"
ARGUMENTS, WEIGHTS = "training_arguments.json", "model.safetensors"
# That of `dataset_scripts.base`, which cannot be asked where `datasets` is not installed: a card needs nothing of training.
UNKNOWN_SPEAKER = "unknown-"


@dataclass(frozen=True)
class CardSource:
    """
    What is known of a network.

    Args:
        config: its configuration.
        processor ([`TacfnProcessor`], *optional*): what makes its inputs.
        results (`dict`, *optional*): content of the `results.json` of these weights, or of all runs of a method.
        grid (`dict`, *optional*): of weights that are one run of several, the results of the method over all of them.
        others (`list[dict]`): results of all methods that were scored under the same protocol, of which these are one.
        settings (`dict`): options of the training.
        folder (`Path`, *optional*): where the weights are; `None` for results alone.
        runs (`list[str]`): folders in it that hold a network each, if it holds none itself.
        has_code (`bool`): whether the code travels with the weights.
        weight_bytes (`int`, *optional*): size of the weights' file.
        pictures (`list[str]`): pictures that lie beside the card.
    """

    config: Any
    processor: TacfnProcessor | None = None
    results: dict | None = None
    grid: dict | None = None
    others: list[dict] = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    folder: Path | None = None
    runs: list[str] = field(default_factory=list)
    has_code: bool = False
    weight_bytes: int | None = None
    pictures: list[str] = field(default_factory=list)

    @property
    def corpus(self) -> str | None:
        return self.results["corpus"] if self.results else self.settings.get("dataset")

    @property
    def task(self) -> EmotionTask:
        if self.results:
            return make_task(self.results.get("task", EmotionTask.name), self.results["labels"])
        names = {"multi_label_classification": "yes_no", "regression": "sentiment"}
        return make_task(names.get(self.config.problem_type, EmotionTask.name), list(self.config.id2label.values()))

    @property
    def knows_speakers(self) -> bool:
        """Whether it is known who was tested, so that scores of single people mean something."""
        if self.results is None or self.results["protocol"] == RANDOM_CLIPS:
            return False
        tested = [name for run in self.results["runs"] for name in (run.get("splits") or {}).get("test", ())]
        return any(not name.startswith(UNKNOWN_SPEAKER) for name in tested)

    @property
    def predictions(self) -> list[dict]:
        """Every answer about a test clip that the results keep, over all runs."""
        return [item for run in (self.results or {}).get("runs", ()) for item in run.get("predictions", ())]


def read_source(path: Path, method: str | None = None, protocol: str | None = None) -> CardSource:
    """
    Read what a card is written from.

    Args:
        path (`Path`): a folder that training left, or a results file.
        method (`str`, *optional*), protocol (`str`, *optional*): which of the results of a file that holds several.

    Raises:
        ValueError: there is neither a network nor results, or it is not clear which of several is meant.
        OSError: a file cannot be read.
    """
    if path.is_file():
        return _of_results(path, method, protocol)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: expected a trained folder or a results file, there is nothing of that name.")
    if method or protocol:
        raise ValueError(f"--method and --protocol choose among the results of a file; {path} is a folder.")
    results = load_results(path / RESULTS) if (path / RESULTS).is_file() else None
    results = _presentable(results, path / RESULTS) if results else None
    settings = (results or {}).get("settings") or _stored_settings(path)
    if (path / CONFIG).is_file():
        return _of_folder(path, path, results, settings)
    runs = sorted(file.parent.name for file in path.glob(f"*/{CONFIG}"))
    if results is None or not runs:
        raise ValueError(
            f"{path}: expected a trained folder ({CONFIG}, or {RESULTS} with a folder of each run), found "
            f"{', '.join(sorted(item.name for item in path.iterdir())[:5]) or 'nothing'}."
        )
    return _of_folder(path, path / runs[0], results, settings, runs)


def _of_folder(path: Path, network: Path, results: dict | None, settings: dict, runs=()) -> CardSource:
    stored = _read_json(network / CONFIG)
    has_processor = (network / PROCESSOR).is_file()
    weights = network / WEIGHTS
    return CardSource(
        config=AutoConfig.from_pretrained(network),
        processor=TacfnProcessor.from_pretrained(network) if has_processor else None,
        results=results,
        grid=_grid_of(path, results),
        settings=settings,
        folder=path,
        runs=list(runs),
        has_code="AutoModel" in stored.get("auto_map", {}),
        weight_bytes=weights.stat().st_size if weights.is_file() else None,
        pictures=pictures_in(path),
    )


def pictures_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def _grid_of(folder: Path, results: dict | None) -> dict | None:
    """The results of all folds and seeds, which lie above the folder of one of them, if that is one of them."""
    path = folder.absolute().parent / RESULTS
    if results is None or len(results["runs"]) != 1 or not path.is_file():
        return None
    try:
        grid = _presentable(load_results(path), path)
    except ValueError:
        return None  # a file of that name that has nothing to do with this folder
    (mine,) = results["runs"]
    same = [key for key in ("name", "corpus", "protocol", "labels") if grid.get(key) == results[key]]
    found = [run for run in grid["runs"] if (run["fold"], run["seed"]) == (mine["fold"], mine["seed"])]
    is_part = len(same) == 4 and len(grid["runs"]) > 1 and found and found[0].get("splits") == mine.get("splits")
    return grid if is_part else None


def _of_results(path: Path, method: str | None, protocol: str | None) -> CardSource:
    stored = load_results(path)
    items = stored.get("results", [stored])
    items = [_presentable(item, path) for item in items]
    chosen = [item for item in items if method in (None, item["name"]) and protocol in (None, item["protocol"])]
    if len(chosen) != 1:
        listed = ", ".join(f"--method {item['name']} --protocol {item['protocol']}" for item in items)
        raise ValueError(f"{path}: expected one of its results to be named, got {len(chosen)}. It holds: {listed}.")
    (results,) = chosen
    same = [item for item in items if all(item.get(key) == results.get(key) for key in ("corpus", "protocol"))]
    settings = results.get("settings") or {}
    config, processor = _rebuilt(settings, results)
    others = same if len(same) > 1 else []
    return CardSource(config=config, processor=processor, results=results, others=others, settings=settings)


def _rebuilt(settings: Mapping, results: Mapping) -> tuple[Any, TacfnProcessor]:
    """Configuration and processor of a network of which only its results are at hand, from the options of its training."""
    labels = results["labels"]
    values = dict(settings.get("model") or {})
    sizes, chosen = values.get("feature_sizes") or {}, settings.get("modalities")
    if sizes and chosen:
        kept = [name for name in sizes if name in chosen]
        values["feature_sizes"] = sizes = {name: sizes[name] for name in kept}
        for name in ("feature_order", "static_features", "spectrogram_features", "reinforced", "encoded_targets"):
            if values.get(name) is not None:
                values[name] = [item for item in values[name] if item in kept]
    task = make_task(results.get("task", EmotionTask.name), labels)
    config_class = type(AutoConfig.for_model(settings.get("network", "tacfn")))
    config = config_class(**values, problem_type=task.problem_type, id2label=dict(enumerate(labels)))
    processor = TacfnProcessor(
        TacfnFeatureExtractor(**settings.get("audio_processor") or {}),
        TacfnImageProcessor(**settings.get("video_processor") or {}),
        static_features=values.get("static_features"),
        square_root_features=[name for name in settings.get("square_root_features") or () if name in sizes],
        do_audio=not sizes or "audio" in sizes,
        do_prosody="prosody" in sizes,
        do_video=not sizes,
        is_speaker_normalized=results["protocol"] == "speaker-normalised",
    )
    return config, processor


def _stored_settings(folder: Path) -> dict:
    path = folder / ARGUMENTS
    return without_paths_in(_read_json(path))[0] if path.is_file() else {}


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}")
    except ValueError as error:
        raise ValueError(f"{path}: expected a JSON object, got something else ({error}).") from None
    return value


def _presentable(results: dict, path: Path) -> dict:
    """Results whose texts tell no folder of the machine that made them."""
    if "results" in results:
        raise ValueError(f"{path} holds several methods: give the folder of one of them, or this file and --method.")
    missing = sorted({"name", "corpus", "protocol", "labels", "summary", "runs"} - set(results))
    if missing:
        raise ValueError(f"{path}: expected the results of a method, found some without {', '.join(missing)}.")
    return results | {
        key: without_paths_in(results[key])[0] for key in ("settings", "environment") if results.get(key)
    }


__all__ = ["CardSource", "pictures_in", "read_source"]
