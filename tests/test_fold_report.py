# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Folds shown, drawn, saved and read; a leak is an error wherever it comes from."""

import json

import datasets
import pytest
from tone_corpus import write_tones

from dataset_scripts.base import CORPORA, corpus_features, load_corpus
from modeling_tacfn.experiment import make_splits
from modeling_tacfn.fold_report import choose_folds, describe_folds, folds_table, load_folds, plot_folds, save_folds
from modeling_tacfn.train_options import parse_arguments
from tacfn import FOLDS_EXAMPLE, build_parser, main


def corpus_of(rows: list[tuple]) -> datasets.Dataset:
    """Rows of speaker, gender, label and take."""
    features = corpus_features(["calm", "angry"])
    columns = {name: [] for name in features}
    for index, (speaker, gender, label, take) in enumerate(rows):
        given = {
            "clip_id": str(index),
            "speaker_id": speaker,
            "gender": gender,
            "label": label,
            "utterance_group": take,
        }
        for name in columns:
            columns[name].append(given.get(name))
    return datasets.Dataset.from_dict(columns, features=features)


CORPUS = corpus_of(
    [
        ("a", "female", 0, "1"),
        ("a", "female", 1, "2"),
        ("b", "male", 0, "3"),
        ("c", None, 1, "4"),
        ("c", None, 1, None),
    ]
)


def test_every_fold_says_whom_and_what_it_tests():
    described = describe_folds(CORPUS, [["a"], ["b", "c"]])
    assert described[0] == {
        "fold": 0,
        "speakers": ["a"],
        "genders": {"female": 1},
        "clips": 2,
        "labels": {"calm": 1, "angry": 1},
    }
    assert described[1]["genders"] == {"male": 1, "unknown": 1}
    lines = folds_table(described).splitlines()
    assert lines[3] == "| 1 | b, c | 1 male, 1 unknown | 3 | 1 | 2 |"
    assert lines[4] == "| all | 3 |  | 5 | 2 | 3 |"


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([["a"], ["b"]], "c would be trained on and never tested"),
        ([["a", "b"], ["b", "c"]], "every speaker in one fold, received b in several"),
        ([["a"], ["b", "c", "d"]], "speakers of the corpus in the folds, got d"),
    ],
)
def test_folds_that_do_not_fit_are_refused(folds, message):
    with pytest.raises(ValueError, match=message):
        describe_folds(CORPUS, folds)


def test_a_take_on_both_sides_is_a_leak_even_in_folds_of_ones_own():
    shared = corpus_of([("a", "female", 0, "1"), ("b", "male", 0, "1"), ("c", "male", 1, "2")])
    with pytest.raises(ValueError, match="utterance_group '1' is in both"):
        describe_folds(shared, [["a"], ["b", "c"]])


def test_saved_folds_are_read_as_they_were(tmp_path):
    folds = [["a"], ["b", "c"]]
    save_folds(folds, tmp_path / "folds.json", "tones")
    assert load_folds(tmp_path / "folds.json") == folds
    assert choose_folds(CORPUS, path=tmp_path / "folds.json") == folds
    assert choose_folds(CORPUS, num_folds=3) == [["a"], ["b"], ["c"]]
    with pytest.raises(ValueError, match="got both"):
        choose_folds(CORPUS, 3, tmp_path / "folds.json")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"folds": []}', '{"folds": [["a"], []]}', '{"folds": {"a": 1}}', '{"folds": [["a"], ["a"]]}']
)
def test_files_without_folds_are_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="folds.json"):
        load_folds(path)


@pytest.fixture
def tones(tmp_path, monkeypatch):
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return write_tones(tmp_path / "corpus")


def test_the_command_saves_what_training_takes(tones, tmp_path, capsys):
    output, plot = tmp_path / "folds.json", tmp_path / "folds.png"
    command = ["folds", "--dataset", "tones", "--data_dir", str(tones)]
    assert main([*command, "--num_folds", "2", "--output", str(output), "--plot", str(plot)]) == 0
    assert "| 0 | s0, s1 |" in capsys.readouterr().out
    assert plot.stat().st_size > 5000
    arguments = parse_arguments(
        [
            "--dataset",
            "tones",
            "--data_dir",
            str(tones),
            "--folds",
            str(output),
            "--fold",
            "1",
            "--validation_speakers",
            "0",
        ]
    )
    (splits,) = make_splits(load_corpus("tones", data_dir=tones), arguments).values()
    speakers = load_corpus("tones", data_dir=tones)["speaker_id"]
    assert {speakers[row] for row in splits["test"]} == {"s2", "s3"}
    assert main([*command, "--folds", str(output), "--json"]) == 0
    assert [item["speakers"] for item in json.loads(capsys.readouterr().out)] == [["s0", "s1"], ["s2", "s3"]]


def test_the_command_refuses_a_leak(tones, tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text('{"folds": [["s0", "s1"], ["s1", "s2", "s3"]]}')
    assert main(["folds", "--dataset", "tones", "--data_dir", str(tones), "--folds", str(path)]) == 1
    assert "s1 more than once" in capsys.readouterr().err


def test_the_picture_tells_more_labels_apart_than_there_are_colours(tmp_path):
    labels = {f"label {index}": index + 1 for index in range(9)}
    plot_folds([{"fold": 0, "speakers": ["a"], "clips": 45, "labels": labels}], tmp_path / "folds.svg")
    assert (tmp_path / "folds.svg").stat().st_size > 5000


def test_examples_of_the_help_are_understood():
    lines = [line.strip() for line in FOLDS_EXAMPLE.splitlines() if line.strip().startswith("tacfn ")]
    assert [build_parser().parse_args(line.split()[1:]).command for line in lines] == ["folds"] * 3
