# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
A network to be used: trained on everybody, and described by the scores of the runs over the folds.

Cross-validation says what to expect of a way of training; its networks each lack a part of the speakers. The one that people use
should lack nobody, and then there is nobody left to test it on. Ours, because the papers do not say which of their networks
is the one they would hand out.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .results import load_results
from .train_options import changed_options


def load_expected_scores(
    path: Path, name: str, protocol: str, settings: Mapping[str, Any], speakers: Iterable[str]
) -> dict[str, Any]:
    """
    The results over all folds that say what to expect of a network trained on everybody with the same options.

    Args:
        path (`Path`): a `results.json` of `train.py --all_folds` or of `tacfn compare`.
        name (`str`), protocol (`str`): the method and the protocol, of a file that holds several.
        settings (`Mapping`): options of the training to come; those of the runs must be the same.
        speakers (`Iterable[str]`): everybody in the corpus, each of whom must have been tested.

    Raises:
        ValueError: there are no such results, other options made them, or they lack speakers.
        OSError: the file cannot be read.
    """
    stored = load_results(path)
    items = stored.get("results", [stored])
    chosen = [item for item in items if (item["name"], item["protocol"]) == (name, protocol)]
    if len(chosen) != 1:
        listed = ", ".join(f"{item['name']} ({item['protocol']})" for item in items)
        raise ValueError(f"{path}: expected the results of {name} ({protocol}), it holds {listed}.")
    (results,) = chosen
    now, before = json.loads(json.dumps(settings, default=str)), results.get("settings") or {}
    # By its name it was chosen, where nobody gave one too.
    changed = changed_options(before, {key: value for key, value in now.items() if key != "name"})
    if changed:
        raise ValueError(
            f"{path}: these scores belong to other options ({', '.join(changed)}). Train on everybody with the options whose "
            "scores it is described by, or score these options over all folds first (--all_folds)."
        )
    if settings["validation_speakers"] != 0:
        raise ValueError(
            "expected --validation_speakers 0 in the runs over the folds: who trains on everybody has nobody left to choose the "
            "epoch, so that their number must be fixed before, with --epochs."
        )
    tested = {speaker for run in results["runs"] for speaker in run["splits"]["test"]}
    if missing := sorted(set(speakers) - tested):
        raise ValueError(
            f"{path}: expected scores of every speaker of the corpus, nobody tested {', '.join(missing)}; run all folds."
        )
    return results


def describe_final(
    scores: Mapping[str, Any], run: Mapping[str, Any], environment: Mapping[str, Any]
) -> dict[str, Any]:
    """What `results.json` of the network holds: the scores over the folds, and under `final` what these weights are."""
    return {
        **scores,
        "environment": environment,
        "final": {key: run[key] for key in ("seed", "splits", "clips", "history")},
    }


__all__ = ["describe_final", "load_expected_scores"]
