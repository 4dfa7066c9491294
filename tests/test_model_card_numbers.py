"""Every number of a model card is one of the files it is written from, or counted from their answers."""

import dataclasses
import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_card_cases import CASES, PLAIN, ROOT, make_folder, results_of, sections_of
from transformers import PreTrainedConfig

import modeling_tacfn
from modeling_tacfn import TacfnProcessor, model_card_facts
from modeling_tacfn.model_card import TEMPLATE, model_card


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of the cases by name, each made when it is asked for first."""
    root = tmp_path_factory.mktemp("trained")
    return functools.cache(lambda name: make_folder(root / name, CASES[name]))


@pytest.fixture(scope="module")
def cards(folders):
    return functools.cache(lambda name: model_card(folders(name)))


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", text))


def forms(value) -> set[str]:
    """How a number of a file may stand in a card."""
    if isinstance(value, (list, tuple, dict)):
        items = value.values() if isinstance(value, dict) else value
        keys = numbers(" ".join(value)) if isinstance(value, dict) else set()
        return {str(len(value))} | keys | {form for item in items for form in forms(item)}
    if isinstance(value, bool) or value is None:
        return set()
    if isinstance(value, str):
        return numbers(value)
    shown = {f"{value:,}", str(value), json.dumps(value), f"{100 * value:.1f}", f"{value:.3f}", f"{round(value, 4)}"}
    return {form.lstrip("-") for form in shown}


def known_numbers(folder: Path) -> set[str]:
    """The numbers of the files, those counted from the answers, and those of the words that are in every card."""
    results = results_of(folder)
    runs = [{key: run[key] for key in ("fold", "seed", "splits", "clips", "best_epoch")} for run in results["runs"]]
    files = [results | {"runs": runs}]
    files += [json.loads((folder / name).read_text()) for name in ("config.json", "processor_config.json")]
    model = modeling_tacfn.AutoModel.from_pretrained(folder)
    default = type(model.config)()
    own = {field.name for field in dataclasses.fields(default)} - {
        field.name for field in dataclasses.fields(PreTrainedConfig)
    }
    files += [{key: getattr(default, key) for key in own}, model.num_parameters()]
    files += [
        sum(p.numel() for p in part.parameters()) for module in (model, model.fusion) for part in module.children()
    ]
    files += [(folder / "model.safetensors").stat().st_size]
    seconds = [epoch["seconds"] for run in results["runs"] for epoch in run["history"]]
    files += [len(seconds), round(sum(seconds))]
    sound = TacfnProcessor.from_pretrained(folder).feature_extractor
    known = {f"{1000 * sound.hop_length / sound.sampling_rate:.1f}"} | speaker_numbers(results)
    known.add(f"{results['num_parameters'] / 1e3:.1f}")
    for file in files:
        known |= forms(file)
    constant = TEMPLATE.read_text() + Path(model_card_facts.__file__).read_text()
    return known | numbers(constant) | {"0", "1", "3", "7", "5", "2", "95", "15", "2-D", "0.34"}


def speaker_numbers(results: dict) -> set[str]:
    """Scores of the speakers and the sexes, counted anew."""
    if results.get("task") != "emotion":
        return speaker_numbers_of_other_tasks(results)
    rows = [row for run in results["runs"] for row in run["predictions"] if not row["speaker"].startswith("unknown-")]
    people = {row["speaker"]: [] for row in rows}
    for row in rows:
        people[row["speaker"]].append((row["label"], int(np.argmax(row["probabilities"]))))
    groups = [*people.values()]
    for is_first in (True, False):  # of the made-up speakers
        chosen = [person for name, person in people.items() if is_female(name) == is_first]
        groups.append([pair for person in chosen for pair in person])
    scores = [[], []]
    for pairs in filter(None, groups):
        labels = sorted({truth for truth, _ in pairs})
        right = [np.mean([said == truth for truth, said in pairs if truth == label]) for label in labels]
        scores[0].append(np.mean([said == truth for truth, said in pairs]))
        scores[1].append(np.mean(right))
    medians = [np.median(column[: len(people)]) for column in scores if people]
    return {f"{100 * value:.1f}" for value in [*scores[0], *scores[1], *medians]} | forms(
        [len(pairs) for pairs in people.values()]
    )


def speaker_numbers_of_other_tasks(results: dict) -> set[str]:
    rows = [row for run in results["runs"] for row in run["predictions"] if row["speaker"] is not None]
    found, columns = set(), [[], []]
    for name in sorted({row["speaker"] for row in rows}):
        mine = [row for row in rows if row["speaker"] == name]
        true, said = (np.array([row[key][0] for row in mine]) for key in ("targets", "estimate"))
        for column, value in zip(columns, (np.abs(true - said).mean(), np.corrcoef(true, said)[0, 1]), strict=True):
            column.append(value)
        found.add(str(len(mine)))
    values = [*columns[0], *columns[1], *(np.median(column) for column in columns if column)]
    return found | {f"{abs(value):.3f}" for value in values}


def is_female(speaker: str) -> bool:
    return speaker.endswith("F") if speaker[-1].isalpha() else int(speaker) % 2 == 0


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_number_is_one_of_the_files(name, cards, folders):
    card = cards(name)
    assert numbers(card.text) - known_numbers(folders(name)) == set()


def test_another_score_makes_another_card(folders, tmp_path):
    """The test above can fail: a number that the file does not hold is found."""
    folder = shutil.copytree(folders("audio_video"), tmp_path / "copy")
    results = results_of(folder)
    results["summary"]["war"]["mean"] = 0.12345
    (folder / "results.json").write_text(json.dumps(results))
    card = model_card(folder)
    assert numbers(card.text) - known_numbers(folders("audio_video")) == {"12.3"}
    assert round(0.12345, 4) in [entry.metric_value for entry in card.data.eval_results]


def test_scores_of_model_card_md_are_those_of_the_committed_results():
    items = json.loads((ROOT / "docs" / "results" / "ravdess_au.json").read_text(encoding="utf-8"))["results"]
    known = numbers("1 95 % 15 bins p < 0.001")
    for item in (item for item in items if item["protocol"] == PLAIN):
        parts = [item[key] for key in ("summary", "single_modality", "missing", "paired", "settings")]
        known |= set().union(*map(forms, parts)) | {f"{1000 * item['seconds_per_clip']:.1f}"}
        known |= {f"{item['num_parameters'] / 1e6:.2f}", f"{item['num_parameters'] / 1e3:.1f}"}
    sections = sections_of((ROOT / "model_card.md").read_text(encoding="utf-8"))
    titles = [
        "Results",
        "Per class",
        "Confusion",
        "With inputs missing",
        "Calibration",
        "Other methods, same protocol",
    ]
    found = set().union(*(numbers(sections[title]) for title in titles))
    assert len(found) > 200
    assert found - known == set()
