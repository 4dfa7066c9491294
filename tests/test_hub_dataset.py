# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Pushing a prepared corpus: as much of it as its licence allows, and what comes back streams, trains or says what it is."""

import json
import re
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hub_server import READ_TOKEN, WRITE_TOKEN, use_hub
from huggingface_hub import snapshot_download
from tone_corpus import AUDIO_PROCESSOR, NETWORK, Tones, write_tones

from dataset_scripts.base import CORPORA, corpus_builder
from modeling_tacfn import experiment, shards
from modeling_tacfn.hub_dataset import METADATA_COLUMNS, push_corpus
from modeling_tacfn.hub_upload import HubError
from modeling_tacfn.shards import as_streaming_dataset, load_shards
from tacfn import main


NAME = "someone/tones"
CLIPS = 24
WITH_CLIPS = {"README.md", "prepared.json", "processor_config.json"}


@pytest.fixture(scope="session")
def sounds(tmp_path_factory) -> Path:
    return write_tones(tmp_path_factory.mktemp("sounds") / "corpus")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = use_hub(monkeypatch, tmp_path / "home")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def may_be_shared(monkeypatch):
    monkeypatch.setattr(Tones, "LICENSE_ID", "cc-by-nc-sa-4.0", raising=False)
    monkeypatch.setattr(Tones, "MAY_SHARE_MEDIA", True)
    monkeypatch.setattr(Tones, "CITATION", "@inproceedings{tones}")
    monkeypatch.setattr(Tones, "HOMEPAGE", "https://example.org/tones")


@pytest.fixture
def command(sounds, tmp_path, hub) -> list[str]:
    """Prepares the tones and writes them as shards."""
    config = tmp_path / "tones.yaml"
    options = {"dataset": "tones", "model": NETWORK, "audio_processor": AUDIO_PROCESSOR, "epochs": 1, "num_folds": 2}
    config.write_text(yaml.safe_dump(options | {"cache_dir": str(tmp_path / "cache"), "batch_size": 6}))
    command = ["prepare", "--config", str(config), "--data_dir", str(sounds), "--output", str(tmp_path / "shards")]
    return [*command, "--num_proc", "1"]


def pushed_files(hub, name=NAME) -> dict[str, bytes]:
    return hub.repositories["dataset", name].files()


def header(files: dict[str, bytes]) -> dict:
    return yaml.safe_load(files["README.md"].decode().split("---\n")[1])


def test_a_corpus_that_may_be_shared_comes_back_whole(hub, may_be_shared, command, tmp_path, sounds, capsys):
    assert main([*command, "--push_to_hub", NAME, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    files = pushed_files(hub)
    parquet = {path.name for path in (tmp_path / "shards").glob("*.parquet")}
    assert len(parquet) > 1
    assert set(files) == WITH_CLIPS | parquet == set(facts["pushed"]["files"])
    assert hub.repositories["dataset", NAME].is_private
    assert facts["pushed"]["notes"] == []
    for content in files.values():
        assert str(sounds).encode() not in content
        assert str(tmp_path).encode() not in content

    card = header(files)
    assert card["license"] == "cc-by-nc-sa-4.0"
    assert card["size_categories"] == "n<1K"
    assert "license_name" not in card
    text = files["README.md"].decode()
    for part in (
        "24 clips of 4 speakers",
        "@inproceedings{tones}",
        "https://example.org/tones",
        "| angry | 12 |",
        "Licence: CC0-1.0. Source: https://example.org/tones",
    ):
        assert part in text

    table, clips, _ = load_shards(tmp_path / "shards")
    stream = datasets.load_dataset(NAME, split="train", streaming=True)
    assert stream.features["label"].names == ["calm", "angry"]
    rows = list(stream)
    assert [row["clip_id"] for row in rows] == table["clip_id"][:]
    for source in (NAME, tmp_path / "shards"):
        streamed = list(as_streaming_dataset(source))
        for row, clip in zip(streamed, clips, strict=True):
            assert np.array_equal(row["clip"]["input_features"], clip["input_features"])
    whole = datasets.load_dataset(NAME, split="train", revision=facts["pushed"]["commit"])
    assert whole["clip_id"][:] == table["clip_id"][:]


@pytest.mark.slow
def test_training_takes_what_was_downloaded(hub, may_be_shared, command, tmp_path, sounds):
    assert main([*command, "--push_to_hub", NAME]) == 0
    folder = snapshot_download(NAME, repo_type="dataset")
    train = ["--config", command[2], "--report_to", "none", "--validation_speakers", "0"]
    direct = experiment.main([*train, "--data_dir", str(sounds), "--output_dir", str(tmp_path / "direct")])
    downloaded = experiment.main([*train, "--prepared", folder, "--output_dir", str(tmp_path / "downloaded")])
    assert downloaded["runs"][0]["predictions"] == direct["runs"][0]["predictions"]


def test_what_may_not_be_shared_is_only_told_of(hub, monkeypatch, command, tmp_path, capsys):
    monkeypatch.setattr(Tones, "LICENSE_ID", "other")
    monkeypatch.setattr(Tones, "WHY_NOT_SHARED", "The tones are nobody's business.")
    assert main([*command, "--push_to_hub", NAME]) == 0
    said = capsys.readouterr().out
    assert f"the clips stay in {tmp_path / 'shards'}. The tones are nobody's business." in said
    files = pushed_files(hub)
    assert set(files) == {"README.md", "metadata.parquet"}
    rows = datasets.load_dataset(NAME, split="train")
    assert set(rows.column_names) == {*METADATA_COLUMNS, "duration_seconds"}
    original, clips, _ = load_shards(tmp_path / "shards")
    assert len(rows) == CLIPS
    assert rows.features["label"].names == ["calm", "angry"]
    for name in METADATA_COLUMNS:
        assert rows[name][:] == original[name][:]
    # s0_calm_1 lasts 4800 samples at 8 kHz; a step is 16 ms.
    durations = dict(zip(rows["clip_id"], rows["duration_seconds"], strict=True))
    assert durations["s0_calm_1"] == pytest.approx(0.6, abs=0.02)
    # Nothing of what the clips hold, in whichever form.
    schema = pq.read_schema(
        tmp_path / "shards" / json.loads((tmp_path / "shards" / "prepared.json").read_text())["shards"][0]
    ).names
    assert {"clip", "arrays", "features", "text", "audio", "video"} <= set(schema)
    assert not any(clip["input_features"][0].tobytes() in files["metadata.parquet"] for clip in clips)
    assert b"s0_calm_0.wav" not in files["metadata.parquet"]
    card = header(files)
    assert (card["license"], card["license_name"]) == ("other", "tones")
    assert f"The tones are nobody's business. {Tones.HOW_TO_GET}" in files["README.md"].decode()
    with pytest.raises(ValueError, match="expected prepared clips in someone/tones, got only what is said of them"):
        as_streaming_dataset(NAME)


def test_clips_of_an_unknown_licence_need_one(hub, command, tmp_path, capsys):
    assert main([*command, "--push_to_hub", NAME]) == 0
    assert "name a licence that allows it, such as --license cc-by-4.0" in capsys.readouterr().out
    assert set(pushed_files(hub)) == {"README.md", "metadata.parquet"}
    assert header(pushed_files(hub))["license"] == "unknown"
    assert Tones.HOW_TO_GET not in pushed_files(hub)["README.md"].decode()

    licensed = [*command, "--push_to_hub", "someone/mine", "--license", "CC-BY-4.0"]
    assert main(licensed) == 1
    assert "under another licence; choose another folder" in capsys.readouterr().err
    licensed[licensed.index("--output") + 1] = str(tmp_path / "licensed")
    assert main(licensed) == 0
    assert "the people in them must have agreed" in capsys.readouterr().out
    files = pushed_files(hub, "someone/mine")
    assert set(files) >= WITH_CLIPS
    assert header(files)["license"] == "cc-by-4.0"
    assert json.loads(files["prepared.json"])["licence"] == "cc-by-4.0"
    assert set(datasets.load_dataset("someone/mine", split="train")["license"]) == {"cc-by-4.0"}


@pytest.mark.parametrize("licence", ["cc-by-nd-4.0", "my-own", "other", "all rights reserved"])
def test_a_licence_that_does_not_allow_it_is_refused_before_the_work(hub, command, capsys, licence, tmp_path):
    assert main([*command, "--push_to_hub", NAME, "--license", licence]) == 1
    assert "expected a licence under which others may have the clips, one of apache-2.0" in capsys.readouterr().err
    assert not hub.requests
    assert not (tmp_path / "cache").exists()


def test_a_known_licence_cannot_be_changed(hub, may_be_shared, command, capsys):
    assert main([*command, "--push_to_hub", NAME, "--license", "mit"]) == 1
    assert "the licence of tones is known" in capsys.readouterr().err
    assert not hub.requests


def test_clips_with_licences_of_their_own_are_not_overruled(hub, command, capsys, monkeypatch):
    scan = Tones.scan

    def some_licensed(self, config):
        found = scan(self, config)
        found.rows[0]["license"] = "mine alone"
        return found

    monkeypatch.setattr(Tones, "scan", some_licensed)
    assert main([*command, "--push_to_hub", NAME, "--license", "cc-by-4.0"]) == 1
    assert "the metadata of some says mine alone" in capsys.readouterr().err
    assert not hub.repositories


def test_a_path_in_a_column_is_refused(hub, command, capsys, monkeypatch):
    scan = Tones.scan

    def named_by_path(self, config):
        found = scan(self, config)
        found.rows[3]["utterance_group"] = found.rows[3]["audio"]
        return found

    monkeypatch.setattr(Tones, "scan", named_by_path)
    assert main([*command, "--push_to_hub", NAME]) == 1
    assert "the column utterance_group holds a path of this machine" in capsys.readouterr().err
    assert not hub.repositories


def test_nothing_new_is_no_commit_and_nothing_is_left_of_the_old(hub, may_be_shared, command, tmp_path, capsys):
    assert main([*command, "--push_to_hub", NAME]) == 0
    repository, before = hub.repositories["dataset", NAME], set(pushed_files(hub))
    assert main([*command, "--push_to_hub", NAME]) == 0
    assert "nothing has changed since the last push" in capsys.readouterr().out
    assert len(repository.commits) == 2
    command[command.index("--output") + 1] = str(tmp_path / "other")
    other = ["--", "--audio_processor", "{n_fft: 512}"]
    assert main([*command, "--push_to_hub", NAME, *other]) == 0
    assert len(repository.commits) == 3
    assert set(pushed_files(hub)) == {path.name for path in (tmp_path / "other").glob("*.parquet")} | WITH_CLIPS
    assert before


def test_a_push_that_is_cut_is_taken_up_again(hub, may_be_shared, command, tmp_path):
    assert main(command) == 0
    hub.troubles["upload"] = [None, ("cut", 100), "always"]
    with pytest.raises(HubError, match="connection to the Hub was cut.*Run the same again"):
        push_corpus(tmp_path / "shards", NAME)
    assert pushed_files(hub) == {}, "half a corpus"
    sent = list(hub.uploads)
    assert sent
    hub.troubles.clear()
    push_corpus(tmp_path / "shards", NAME)
    assert len({oid for oid, _ in hub.uploads}) == len(hub.uploads), "sent twice"
    assert hub.uploads[: len(sent)] == sent


def test_a_failed_push_leaves_the_shards(hub, may_be_shared, command, tmp_path, monkeypatch, capsys):
    hub.space_left = 10
    assert main([*command, "--push_to_hub", NAME]) == 1
    error = capsys.readouterr().err
    assert "no space left" in error
    assert WRITE_TOKEN not in error
    assert len(load_shards(tmp_path / "shards")[1]) == CLIPS
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    assert main([*command, "--push_to_hub", "someone/other"]) == 1
    assert "no right to write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "token", "message"),
    [
        (["--push_to_hub", NAME], "", "expected a token of the Hub"),
        (["--push_to_hub", "not a name"], WRITE_TOKEN, "expected owner/name"),
    ],
)
def test_what_must_fail_fails_before_the_work(hub, command, capsys, monkeypatch, tmp_path, more, token, message):
    monkeypatch.setenv("HF_TOKEN", token)
    assert main([*command, *more]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
    without_output = [part for part in command if part not in ("--output", str(tmp_path / "shards"))]
    assert main([*without_output, "--push_to_hub", NAME]) == 1
    assert "--output FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("corpus", "licence", "is_shared"),
    [
        ("ravdess", "cc-by-nc-sa-4.0", True),
        ("ravdess_au", "cc-by-nc-sa-4.0", True),
        ("crema_d", "odbl", True),
        ("synthetic", "cc0-1.0", True),
        ("iemocap", "other", False),
        ("iemocap_words", "other", False),
        ("cmu_mosei", "other", False),
        ("cmu_mosi", "other", False),
        ("folder", "unknown", False),
    ],
)
def test_what_each_licence_allows(corpus, licence, is_shared):
    builder = corpus_builder(corpus)
    assert (licence, is_shared) == (builder.LICENSE_ID, builder.MAY_SHARE_MEDIA)
    assert re.fullmatch(r"[A-Z].+\.", builder.WHY_NOT_SHARED)


def test_every_corpus_says_what_its_licence_allows():
    listed = test_what_each_licence_allows.pytestmark[0].args[1]
    assert {corpus for corpus, _, _ in listed} == set(CORPORA)
