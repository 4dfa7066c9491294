"""A folder of one's own clips as a corpus: tables of metadata, folders named by label, and what is refused."""

import csv
import json
import warnings

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones

from dataset_scripts import check_disjoint, corpus_folds, load_corpus, split_indices
from modeling_tacfn import experiment
from modeling_tacfn.results import results_table
from modeling_tacfn.training import scored_clips


@pytest.fixture
def own(tmp_path):
    """A function that makes files of one byte, one that writes a table, and one that loads the folder."""

    class Own:
        folder = tmp_path / "mine"

        def add(self, *names, content=b"x"):
            for name in names:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

        def table(self, *lines, name="metadata.csv"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), encoding="utf-8")
            return path

        def load(self, data_dir="mine", **options):
            data_dir = None if data_dir is None else tmp_path / data_dir
            return load_corpus("folder", data_dir, cache_dir=tmp_path / "cache", **options)

    return Own()


ROWS = [
    {"file_name": "b.wav", "label": "sad", "speaker": "02", "gender": "F", "start_seconds": 1.5, "fold": 1},
    {"file_name": "sub/a.mp4", "label": "happy", "speaker": "01", "gender": None, "start_seconds": None, "fold": 0},
]


def write_rows(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_the_same_table_in_three_formats(own, name):
    own.add("b.wav", "sub/a.mp4")
    write_rows(own.folder / name, ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = own.load()
    assert dataset.features["label"].names == ["happy", "sad"]
    first, second = dataset
    expected = {
        "clip_id": "b@1.5-",
        "video": None,
        "audio": str(own.folder / "b.wav"),
        "label": 1,
        "label_raw": "sad",
        "speaker_id": "02",
        "gender": "female",
        "start_seconds": 1.5,
        "end_seconds": None,
        "fold": 1,
        "license": "not stated",
    }
    assert {column: first[column] for column in expected} == expected
    assert (second["clip_id"], second["video"], second["gender"]) == ("sub/a", str(own.folder / "sub" / "a.mp4"), None)
    assert corpus_folds(dataset) == [["01"], ["02"]]


def test_whole_numbers_stay_whole(own):
    own.add("a.wav")
    row = {"file_name": "a.wav", "label": 3.0, "speaker_id": 7.0, "session_id": True, "text": float("nan")}
    write_rows(own.folder / "metadata.parquet", [row])
    row = own.load()[0]
    assert (row["label_raw"], row["speaker_id"], row["session_id"], row["text"]) == ("3", "7", "True", None)


def test_a_named_table_and_where_its_paths_start(own, tmp_path):
    own.add("a.wav")
    beside = own.table("file,label,speaker", "a.wav,sad,1", name="mine.csv")
    assert own.load(None, metadata=str(beside))[0]["audio"] == str(own.folder / "a.wav")
    elsewhere = tmp_path / "labels.csv"
    elsewhere.write_text("path;Label;Speaker_ID\na.wav;sad;1\n")
    assert own.load(metadata=str(elsewhere))["speaker_id"][:] == ["1"]
    assert own.load(metadata="mine.csv")["speaker_id"][:] == ["1"]
    with pytest.raises(FileNotFoundError, match="which is not a file"):
        own.load(metadata="nowhere.csv")


def test_picture_and_sound_in_one_row(own):
    own.add("a.mp4", "a.wav")
    own.table("video,audio,label,speaker_id", "a.mp4,a.wav,sad,1")
    row = own.load()[0]
    assert (row["clip_id"], row["video"][-5:], row["audio"][-5:]) == ("a", "a.mp4", "a.wav")


def test_tables_of_split_folders(own):
    own.add("train/a.wav", "test/a.wav")
    for split, speaker in (("train", 1), ("test", 2)):
        own.table("file_name,label,speaker_id,split", f"a.wav,sad,{speaker},{split}", name=f"{split}/metadata.csv")
    dataset = own.load()
    assert dataset["clip_id"][:] == ["test/a", "train/a"]
    assert dataset["fold"][:] == [0, 1]
    assert dataset["split"][:] == ["test", "train"]


def test_folders_named_by_label(own):
    own.add("happy/1.mp4", "happy/1.wav", "sad/2.mp3", "sad/10.wav", "sad/deep/3.wav", "top.wav", "notes.txt")
    with pytest.warns(UserWarning, match="NOBODY IS KNOWN of 3 clips") as caught:
        dataset = own.load()
    messages = " ".join(str(item.message) for item in caught)
    assert "not speaker-independent and must not be quoted" in messages
    assert "sad/deep/3.wav: not in a folder of its label" in messages
    assert "top.wav: not in a folder of its label" in messages
    assert dataset["clip_id"][:] == ["happy/1", "sad/2", "sad/10"]
    assert [dataset.features["label"].int2str(label) for label in dataset["label"]] == ["happy", "sad", "sad"]
    assert dataset[0]["video"].endswith("happy/1.mp4")
    assert dataset[0]["audio"].endswith("happy/1.wav")


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_splits_of_folders(own):
    own.add("train/sad/1.wav", "train/happy/2.wav", "dev/sad/3.wav", "test/sad/4.wav")
    dataset = own.load()
    assert dict(zip(dataset["clip_id"], dataset["fold"], strict=True)) == {
        "test/sad/4": 0,
        "dev/sad/3": 1,
        "train/sad/1": 2,
        "train/happy/2": 2,
    }
    assert set(dataset["split"]) == {"test", "validation", "train"}


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_unknown_speakers_make_a_random_split_that_stays(own):
    own.add(*(f"{label}/{number}.wav" for label in ("angry", "sad") for number in range(60)))
    dataset = own.load()
    assert len(set(dataset["speaker_id"])) == 120
    # Blocks of speakers in the order of the folders would test one label in each fold.
    for fold in range(5):
        assert {row["label"] for row in dataset if row["fold"] == fold} == {0, 1}
    before = dict(zip(dataset["clip_id"], dataset["speaker_id"], strict=True))
    own.add("calm/1.wav")
    after = own.load()
    assert before.items() <= dict(zip(after["clip_id"], after["speaker_id"], strict=True)).items()


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_parts_of_one_recording_stay_together_without_speakers(own):
    own.add(*(f"{number}.wav" for number in range(5)))
    own.table(
        "file_name,label,start_seconds,end_seconds",
        *(
            f"{number}.wav,{label},{start},{start + 2}"
            for number in range(5)
            for start, label in ((0, "sad"), (2, "happy"))
        ),
    )
    dataset = own.load()
    assert len(dataset) == 10
    assert len(set(dataset["speaker_id"])) == 5
    check_disjoint(dataset, split_indices(dataset, 0, validation_speakers=1))


def test_an_empty_speaker_names_its_row(own):
    own.add("a.wav", "b.wav")
    own.table("file_name,label,speaker_id", "a.wav,sad,1", "b.wav,sad,")
    with pytest.raises(ValueError, match=r"metadata\.csv, line 3: expected a speaker"):
        own.load()


@pytest.mark.parametrize("name", ["../out.wav", "{tmp}/out.wav", "link.wav", "linked/out.wav"])
def test_files_outside_are_refused_unless_allowed(own, tmp_path, name):
    (tmp_path / "out.wav").write_bytes(b"x")
    own.folder.mkdir()
    (own.folder / "link.wav").symlink_to(tmp_path / "out.wav")
    (own.folder / "linked").symlink_to(tmp_path)
    own.table("file_name,label,speaker_id", f"{name.format(tmp=tmp_path)},sad,1")
    with pytest.raises(ValueError, match="line 2: expected a file in .*leads out of it.*allow_outside"):
        own.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(own.load(allow_outside=True)) == 1


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_links_out_of_a_tree_are_skipped(own, tmp_path):
    (tmp_path / "out.wav").write_bytes(b"x")
    own.add("sad/in.wav")
    (own.folder / "sad" / "link.wav").symlink_to(tmp_path / "out.wav")
    with pytest.warns(UserWarning, match=r"link\.wav: it leads out of the folder"):
        assert own.load()["clip_id"][:] == ["sad/in"]


def test_unusable_rows_are_named_and_skipped(own):
    own.add("a.wav", "b.mp4", "notes.txt", "extra.wav")
    own.add("empty.wav", content=b"")
    own.table(
        "file_name,label,speaker_id",
        *("a.wav,sad,1", "empty.wav,sad,1", "gone.wav,sad,1", "notes.txt,sad,1", "b.mp4,,1", ",sad,1"),
    )
    with pytest.warns(UserWarning, match="skipped 6 of the items found, 1 clips remain") as caught:
        own.load()
    message = str(caught[0].message)
    for part in (
        "empty.wav: the file is empty",
        "gone.wav: not a file (",
        "notes.txt: .txt is none of video or sound",
        "line 6: no label",
        "line 7: no file",
    ):
        assert part in message
    own.table("file_name,label,speaker_id", "a.wav,sad,1")
    with pytest.warns(UserWarning, match="3 of its recordings are not in the metadata, such as b.mp4, empty.wav"):
        own.load()


def test_a_separate_sound_that_is_gone_leaves_the_picture(own):
    own.add("a.mp4")
    own.table("video,audio,label,speaker_id", "a.mp4,a.wav,sad,1")
    with pytest.warns(UserWarning, match="a.wav: not a file"):
        assert own.load()[0]["audio"] is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["label,speaker_id", "sad,1"], "Expected a column file_name, video or audio in .*found label, speaker_id"),
        (["file_name,speaker_id", "a.wav,1"], "Expected a column label in .*found file_name, speaker_id"),
        (["file_name,path,label", "a.wav,a.wav,sad"], "one column of file_name, file, path .*file_name and path"),
        (["file_name,label", "a.wav,sad,more"], "line 2: expected 2 cells"),
        (["file_name,label,speaker_id", "a.wav,sad,1", "a.wav,happy,1"], "'sad' .*line 2.* and 'happy' .*line 3"),
        (["file_name,label,speaker_id", "a.wav,sad,1", "a.wav,sad,1"], "'a' from .*line 2 and from .*line 3"),
        (["file_name,label,clip_id,speaker", "a.wav,sad,x,1", "b.wav,sad,x,1"], "'x' from .*line 2 and from .*line 3"),
        (["video,file_name,label", "b.mp4,c.mp4,sad"], "line 2: expected one video file"),
        (["file_name,label,start_seconds", "a.wav,sad,-1"], "line 2: expected a number of seconds from 0"),
        (["file_name,label,end_seconds", "a.wav,sad,soon"], "line 2: expected a number of seconds from 0"),
        (["file_name,label,start_seconds,end_seconds", "a.wav,sad,3,3"], "line 2: expected an end after the start"),
        (["file_name,label,fold", "a.wav,sad,one"], "line 2: expected a fold from 0, received 'one'"),
        (["file_name,label,fold", "a.wav,sad,"], "line 2: expected a fold from 0, received None"),
        (["file_name,label,split", "a.wav,sad,holdout"], "line 2: expected the split train, validation, test"),
        (["file_name,label,split", "a.wav,sad,test", "b.wav,sad,"], "line 3 is in none"),
        (["file_name,label,split,fold", "a.wav,sad,test,1"], "line 2: .*received both"),
        (["file_name,label", "a\0.wav,sad"], "null character"),
        (["file_name,label,speaker,fold", "a.wav,sad,1,0", "b.wav,sad,1,1"], "speaker in one fold, received '1' in fold 0 .*line 2"),
        (["file_name,label,speaker,split", "a.wav,sad,1,train", "b.wav,sad,1,test"], "'1' in train .*line 2.* and in test"),
        (
            ["file_name,label,speaker,utterance_group,fold", "a.wav,sad,1,t,0", "b.wav,sad,2,t,1"],
            "take in one fold, received 't' in fold 0",
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_refuses(own, lines, message):
    own.add("a.wav", "b.wav", "b.mp4", "c.mp4")
    own.table(*lines)
    with pytest.raises(ValueError, match=message):
        own.load()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", b'{"file_name": "a.wav", "label": "sad"}\n{"file', "line 2: expected one JSON object"),
        ("metadata.jsonl", b"[1]\n", "line 1: expected one JSON object, received list"),
        (
            "metadata.jsonl",
            b'{"file_name": {"bytes": 1}, "label": "sad"}\n',
            "line 1, column file_name: expected a word",
        ),
        ("metadata.parquet", b"PAR1 no more", "Expected a parquet table"),
        ("metadata.csv", bytes(range(128, 256)), "Expected a csv table"),
        ("metadata.csv", b"", "Expected a column file_name, video or audio in .*found none"),
    ],
)
def test_refuses_damaged_tables(own, name, content, message):
    own.add("a.wav")
    own.add(name, content=content)
    with pytest.raises(ValueError, match=message):
        own.load()


def test_refuses_a_parquet_file_damaged_inside(own):
    own.add("a.wav")
    path = own.folder / "metadata.parquet"
    write_rows(path, [{"file_name": "a.wav", "label": "sad"}])
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 40 + content[44:])
    with pytest.raises(ValueError, match="Expected a parquet table in .*received something else"):
        own.load()


def test_two_tables_in_one_folder_are_refused(own):
    own.table("file_name,label")
    own.table('{"file_name": "a.wav", "label": "sad"}', name="metadata.jsonl")
    with pytest.raises(ValueError, match="Expected one table of metadata in a folder"):
        own.load()


def test_labels_by_option(own):
    own.add("1.wav", "2.wav", "10.wav")
    own.table("file_name,label,speaker_id", *(f"{number}.wav,{number},{number}" for number in (10, 1, 2)))
    assert own.load().features["label"].names == ["1", "2", "10"]
    dataset = own.load(labels=["none", "2", "1", "10"])
    assert dataset.features["label"].names == ["none", "2", "1", "10"]
    assert dataset["label"][:] == [3, 2, 1]
    with pytest.warns(UserWarning, match="its label '10' is none of `labels`"):
        assert len(own.load(labels=["1", "2"])) == 2
    with pytest.raises(ValueError, match="a list of different names"):
        own.load(labels=["1", "1"])
    with pytest.raises(FileNotFoundError, match="its label '10' is none of `labels`"):
        own.load(labels=["angry"])


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_a_run_without_speakers_says_so_wherever_its_scores_stand(own, tmp_path, monkeypatch, capsys):
    for path in write_tones(tmp_path / "tones").iterdir():
        label = path.stem.split("_")[1]
        own.add(f"{label}/{path.name}", content=path.read_bytes())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "tables")
    network = {**NETWORK, "feature_sizes": {"audio": 6}, "static_features": []}
    options = {"model": network, "audio_processor": AUDIO_PROCESSOR, "epochs": 1, "cache_dir": str(tmp_path / "clips")}
    (tmp_path / "run.json").write_text(json.dumps(options))
    command = ["--config", str(tmp_path / "run.json"), "--dataset", "folder", "--data_dir", str(own.folder)]
    results = experiment.main([*command, "--output_dir", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert results["protocol"] == "random clips"
    assert results["summary"]["war"]["interval_95"] is None
    assert "never seen" not in said
    assert "not speaker-independent" in said
    assert "not speaker-independent" in results_table([results])
    assert scored_clips(results["runs"][0]) == "Random clips, perhaps of people in training"
    with pytest.raises(SystemExit, match="needs a corpus that says who speaks"):
        experiment.main([*command, "--output_dir", str(tmp_path / "other"), "--protocol", "speaker-normalised"])


def test_an_empty_folder_says_what_is_expected(own, tmp_path):
    own.folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"Expected clips and a metadata\.csv .*found nothing"):
        own.load()
    with pytest.raises(ValueError, match="needs `data_dir`"):
        own.load(None)
