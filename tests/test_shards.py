# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A prepared corpus as Parquet shards: the same clips, in any order or as a stream, whole or not at all."""

import json
import multiprocessing
import os
import shlex
import shutil
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from datasets.distributed import split_dataset_by_node
from media_samples import tone, write_sound
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones
from torch.utils.data import DataLoader

from dataset_scripts.base import CORPORA, corpus_features
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor, experiment, shards
from modeling_tacfn.data import load_clips
from modeling_tacfn.preparation import prepare_clips
from modeling_tacfn.shards import as_streaming_dataset, load_shards, write_shards
from tacfn import PREPARE_EXAMPLE, build_parser, main


CLIPS = 7


@pytest.fixture
def prepared(tmp_path):
    """A corpus of seven sounds, their prepared files and the processor."""
    features = corpus_features(["calm", "angry"])
    columns = {name: [None] * CLIPS for name in features}
    columns |= {"clip_id": [f"clip {index}" for index in range(CLIPS)], "label": [index % 2 for index in range(CLIPS)]}
    columns["audio"] = [str(write_sound(tmp_path / f"{index}.wav", tone(0.3 + 0.1 * index))) for index in range(CLIPS)]
    columns["face_track"][0] = str(tmp_path / "0.csv")
    columns["speaker_id"] = [str(index // 2) for index in range(CLIPS)]
    corpus = datasets.Dataset.from_dict(columns, features=features)
    processor = TacfnProcessor(TacfnFeatureExtractor(feature_size=5), TacfnImageProcessor())
    _, files = prepare_clips(corpus, processor, tmp_path / "cache")
    return corpus, files, processor


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5000)
    monkeypatch.setattr(shards, "ROWS_IN_MEMORY", 1)


def test_what_comes_back_is_what_was_prepared(prepared, tmp_path, small_shards):
    corpus, files, processor = prepared
    paths = write_shards(corpus, files, processor, tmp_path / "shards", "sounds", "CC0-1.0")
    assert len(paths) > 2
    table, clips, same_processor = load_shards(tmp_path / "shards", tmp_path / "datasets")
    assert table.features == corpus.features
    paths = ["audio", "face_track"]
    assert table.remove_columns(paths)[:] == corpus.remove_columns(paths)[:]
    assert (table["audio"][0], table["face_track"][0]) == ("0.wav", "0.csv"), "a folder of this machine"
    assert same_processor.feature_extractor.feature_size == 5
    for clip, original in zip(clips, load_clips(files), strict=True):
        assert set(clip) == set(original)
        assert np.array_equal(clip["input_features"], original["input_features"])


def test_a_stream_gives_every_clip_once_however_it_is_divided(prepared, tmp_path, small_shards):
    corpus, files, processor = prepared
    write_shards(corpus, files, processor, tmp_path / "shards", "sounds", "CC0-1.0")
    originals = {row["clip_id"]: clip for row, clip in zip(corpus, load_clips(files), strict=True)}
    seen = list(as_streaming_dataset(tmp_path / "shards"))
    assert [row["clip_id"] for row in seen] == corpus["clip_id"][:]
    for row in seen:
        assert np.array_equal(row["clip"]["input_features"], originals[row["clip_id"]]["input_features"])
    loader = DataLoader(as_streaming_dataset(tmp_path / "shards"), batch_size=2, num_workers=2, collate_fn=list)
    lengths = {row["clip_id"]: len(row["clip"]["input_features"]) for rows in loader for row in rows}
    assert lengths == {name: len(clip["input_features"]) for name, clip in originals.items()}


def read_stream(stream, workers: int, log: Path) -> None:
    """Read it to its end; every shard that is opened goes into `log`, with the process that opened it."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def watch(event, arguments):
        if event == "open" and str(arguments[0]).endswith(".parquet"):
            os.write(file, f"{os.getpid()} {Path(arguments[0]).name}\n".encode())

    sys.addaudithook(watch)
    for row in DataLoader(stream, batch_size=None, num_workers=workers):
        os.write(file, f"clip {row['clip_id']}\n".encode())


@pytest.mark.parametrize("workers", [0, 2])
def test_no_process_opens_the_shards_of_another(prepared, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)  # a shard per clip: a number that two do not divide
    paths = write_shards(*prepared, tmp_path / "shards", "sounds", "CC0-1.0")
    opened, clips = [], []
    for rank in (0, 1):
        stream = split_dataset_by_node(as_streaming_dataset(tmp_path / "shards"), rank, 2, strategy="shards")
        log = tmp_path / f"{rank}.log"
        # A watch cannot be taken away again, so it is in a process of its own.
        process = multiprocessing.get_context("fork").Process(target=read_stream, args=(stream, workers, log))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
        clips += [name for who, name in lines if who == "clip"]
        seen = {}
        for who, name in lines:
            if who != "clip":
                seen.setdefault(who, set()).add(name)
        assert len(seen) == max(workers, 1)
        opened += seen.values()
    assert sum(map(len, opened)) == len(set.union(*opened)) == len(paths)
    assert sorted(clips) == sorted(prepared[0]["clip_id"])


def test_a_stopped_writing_goes_on(prepared, tmp_path, small_shards, monkeypatch):
    folder = tmp_path / "shards"
    whole = shards._write_shard
    calls = []

    def failing(corpus, files, rows, path, bar):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        whole(corpus, files, rows, path, bar)

    monkeypatch.setattr(shards, "_write_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        write_shards(*prepared, folder, "sounds", "CC0-1.0")
    assert sorted(path.name for path in folder.glob("*.parquet")) == calls[:2]
    with pytest.raises(ValueError, match=r"\d+ are missing, among them .*00002.*again"):
        load_shards(folder)
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    paths = write_shards(*prepared, folder, "sounds", "CC0-1.0")
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert calls[3:] == [path.name for path in paths[2:]]


def test_shards_of_something_else_are_not_mixed_in(prepared, tmp_path):
    corpus, files, processor = prepared
    write_shards(corpus, files, processor, tmp_path / "shards", "sounds", "CC0-1.0")
    with pytest.raises(ValueError, match="another prepared corpus"):
        write_shards(corpus.select([0]), files[:1], processor, tmp_path / "shards", "sounds", "CC0-1.0")


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"format": "other"}', '{"format": "tacfn-prepared", "version": 99}']
)
def test_what_is_no_prepared_corpus_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "prepared.json").write_text(content)
    with pytest.raises(ValueError, match="expected"):
        as_streaming_dataset(tmp_path)


def test_the_licence_goes_with_the_shards(prepared, tmp_path):
    write_shards(*prepared, tmp_path / "shards", "sounds", "CC BY-NC-SA 4.0")
    about = json.loads((tmp_path / "shards" / "prepared.json").read_text())
    assert about["licence"] == "CC BY-NC-SA 4.0"
    assert about["num_clips"] == CLIPS


def test_training_takes_the_shards_of_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    config = tmp_path / "tones.yaml"
    options = {"dataset": "tones", "model": NETWORK, "audio_processor": AUDIO_PROCESSOR, "epochs": 1, "num_folds": 2}
    config.write_text(yaml.safe_dump(options | {"cache_dir": str(tmp_path / "cache"), "batch_size": 6}))
    corpus, folder = write_tones(tmp_path / "corpus"), tmp_path / "shards"
    command = [
        "prepare",
        "--config",
        str(config),
        "--data_dir",
        str(corpus),
        "--output",
        str(folder),
        "--num_proc",
        "1",
    ]
    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["clips"], facts["shards"]) == (24, 1)
    train = ["--config", str(config), "--report_to", "none", "--validation_speakers", "0"]
    direct = experiment.main([*train, "--data_dir", str(corpus), "--output_dir", str(tmp_path / "direct")])
    shutil.rmtree(corpus)
    sharded = experiment.main([*train, "--prepared", str(folder), "--output_dir", str(tmp_path / "sharded")])
    assert sharded["runs"][0]["predictions"] == direct["runs"][0]["predictions"]
    other = ["--audio_processor", "{n_fft: 512}", "--output_dir", str(tmp_path / "other")]
    with pytest.raises(SystemExit, match=r"other numbers \(feature_extractor.n_fft: 256, not 512\)"):
        experiment.main([*train, "--prepared", str(folder), *other])
    with pytest.raises(SystemExit, match="holds tones, not synthetic"):
        experiment.main([*train, "--prepared", str(folder), "--dataset", "synthetic"])


def test_examples_of_the_help_are_understood():
    lines = [line.strip() for line in PREPARE_EXAMPLE.splitlines() if line.strip().startswith("tacfn ")]
    assert [build_parser().parse_args(shlex.split(line)[1:]).command for line in lines] == ["prepare"] * 5
