"""Corpora: the schema, the builders of RAVDESS, and what happens to damaged folders."""

import os
import shutil
import warnings
from collections import Counter

import pytest

from dataset_scripts import CORPORA, corpus_features, corpus_folds, load_corpus
from dataset_scripts.base import CorpusScan, EmotionCorpusBuilder, walk
from dataset_scripts.ravdess import EMOTIONS, parse_ravdess_name
from dataset_scripts.ravdess_au import ACTION_UNIT_COLUMNS, RavdessAu


@pytest.fixture
def corpus(tmp_path):
    """A function that makes files of one byte, and one that loads them."""

    class Corpus:
        folder = tmp_path / "corpus"

        def add(self, *names, content=b"x"):
            for name in names:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

        def add_units(self, *clips, header=("clip_id", *ACTION_UNIT_COLUMNS), name="openface_au_mean.csv"):
            lines = [",".join(header)]
            for clip in clips:
                lines.append(",".join([clip, *(str(index / 10) for index in range(len(header) - 1))]))
            self.add(name, content="\n".join(lines).encode())

        def load(self, name="ravdess", **options):
            return load_corpus(name, self.folder, cache_dir=tmp_path / "cache", **options)

    return Corpus()


def test_parse_every_field():
    name = parse_ravdess_name("02-01-06-02-01-02-14")
    assert name.performance == "01-06-02-01-02-14"
    assert (name.label, name.gender, name.actor) == ("fearful", "female", "14")
    assert name.columns() == {
        "label": "fearful",
        "label_raw": "06",
        "intensity": "strong",
        "speaker_id": "14",
        "utterance_group": "01-06-02-01-02-14",
        "gender": "female",
        "text": "Kids are talking by the door",
    }
    assert parse_ravdess_name("01-01-01-01-02-01-03").text == "Dogs are sitting by the door"
    assert parse_ravdess_name("01-01-01-01-02-01-03").gender == "male"


@pytest.mark.parametrize(("code", "label"), list(enumerate(EMOTIONS, start=1)))
def test_labels_follow_the_corpus(code, label):
    assert parse_ravdess_name(f"03-01-{code:02d}-01-01-01-24").label == label


@pytest.mark.parametrize(
    ("stem", "why"),
    [
        ("03-01-05-02-01-01", "seven"),
        ("03-01-05-02-01-01-07-01", "seven"),
        ("3-01-05-02-01-01-07", "seven"),
        ("03-01-09-01-01-01-07", "seven"),
        ("04-01-05-02-01-01-07", "seven"),
        ("03-01-05-03-01-01-07", "seven"),
        ("03-01-05-02-01-01-00", "seven"),
        ("03-01-05-02-01-01-07 (1)", "seven"),
        ("03-01-05-02-01-01-٠٧", "seven"),
        ("03-01-05-02-01-01-07\n", "seven"),
        ("", "seven"),
        ("03-01-01-02-01-01-07", "no strong neutral"),
        ("03-02-07-01-01-01-07", "no disgust song"),
    ],
)
def test_names_outside_the_grammar(stem, why):
    with pytest.raises(ValueError, match=why):
        parse_ravdess_name(stem)


def test_actor_04_keeps_its_digits(corpus):
    # Stripping the characters of ".mp4" from the name, as some code does, would turn actor 04 into actor 0.
    corpus.add("Actor_04/01-01-03-01-01-01-04.mp4", "Actor_14/01-01-03-01-01-01-14.MP4")
    assert corpus.load()["speaker_id"][:] == ["04", "14"]


def test_one_row_per_performance(corpus):
    corpus.add(
        "Video_Speech_Actor_01/Actor_01/01-01-03-01-01-01-01.mp4",
        "Video_Speech_Actor_01/Actor_01/02-01-03-01-01-01-01.mp4",
        "Audio_Speech_Actors_01-24/Actor_01/03-01-03-01-01-01-01.wav",
        "Video_Speech_Actor_01/Actor_01/02-01-04-01-01-01-01.mp4",
        "Audio_Speech_Actors_01-24/Actor_01/03-01-04-01-01-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-05-01-01-01-02.flac",
        "Actor_02/02-01-06-01-01-01-02.mp4",
        "notes.txt",
    )
    rows = {row["clip_id"]: row for row in corpus.load()}
    kinds = {
        clip: tuple(path and os.path.splitext(path)[1] for path in (row["video"], row["audio"]))
        for clip, row in rows.items()
    }
    assert kinds == {
        "01-01-03-01-01-01-01": (".mp4", None),
        "02-01-04-01-01-01-01": (".mp4", ".wav"),
        "03-01-05-01-01-01-02": (None, ".flac"),
        "02-01-06-01-01-01-02": (".mp4", None),
    }
    assert all(row["utterance_group"] == clip[3:] for clip, row in rows.items())
    assert rows["02-01-04-01-01-01-01"]["audio"].endswith("Actor_01/03-01-04-01-01-01-01.wav")
    assert rows["01-01-03-01-01-01-01"]["features"] is None
    assert rows["01-01-03-01-01-01-01"]["license"] == "CC BY-NC-SA 4.0"


def test_schema(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4")
    dataset = corpus.load()
    assert dataset.features == corpus_features(EMOTIONS)
    assert dataset.features["label"].names == EMOTIONS
    assert dataset[0]["label"] == 2
    assert os.path.isabs(dataset[0]["video"])


def test_a_relative_folder_stays_found(corpus, tmp_path, monkeypatch):
    corpus.add("01-01-03-01-01-01-01.mp4")
    monkeypatch.chdir(corpus.folder)
    dataset = load_corpus("ravdess", ".", cache_dir=tmp_path / "cache")
    assert dataset[0]["video"] == str(corpus.folder / "01-01-03-01-01-01-01.mp4")


@pytest.mark.parametrize(("channel", "clips"), [("speech", 2), ("song", 1), ("both", 3)])
def test_channel(corpus, channel, clips):
    corpus.add("01-01-03-01-01-01-01.mp4", "01-01-03-01-01-01-02.mp4", "01-02-03-01-01-01-01.mp4")
    assert len(corpus.load(channel=channel)) == clips


def test_damaged_files_are_named_and_skipped(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4", "01-01-03-01-01-01-02.mp4", "copy/01-01-03-01-01-01-02.mp4", "holiday.mp4")
    corpus.add("01-01-04-01-01-01-01.mp4", content=b"")
    (corpus.folder / "01-01-05-01-01-01-01.mp4").symlink_to("nowhere.mp4")
    corpus.add("._01-01-06-01-01-01-01.mp4", "__MACOSX/01-01-06-01-01-01-01.mp4", "03-01-07-01-01-01-01.mp4")
    with pytest.warns(UserWarning, match="skipped") as caught:
        dataset = corpus.load()
    assert dataset["clip_id"][:] == ["01-01-03-01-01-01-01", "01-01-03-01-01-01-02"]
    messages = [str(item.message) for item in caught if "skipped" in str(item.message)]
    assert len(messages) == 1
    for part in (
        "skipped 5 of the items found, 2 clips remain",
        "01-01-04-01-01-01-01.mp4: the file is empty",
        "01-01-05-01-01-01-01.mp4: a link to a file that does not exist",
        "copy/01-01-03-01-01-01-02.mp4: the same recording as",
        "holiday.mp4: the name is not one of RAVDESS",
        "03-01-07-01-01-01-01.mp4: a video file whose name says audio only",
    ):
        assert part in messages[0]


def test_many_damaged_files_make_one_short_warning(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4", *(f"holiday{index}.mp4" for index in range(40)))
    with pytest.warns(UserWarning, match="and 35 more"):
        corpus.load()


def test_an_empty_sound_file_leaves_the_picture(corpus):
    corpus.add("02-01-03-01-01-01-01.mp4")
    corpus.add("03-01-03-01-01-01-01.wav", content=b"")
    with pytest.warns(UserWarning, match="the file is empty"):
        assert corpus.load()[0]["audio"] is None


def test_the_table_follows_the_folder(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4")
    assert len(corpus.load()) == 1
    corpus.add("01-01-03-01-01-01-02.mp4")
    assert len(corpus.load()) == 2
    corpus.add("01-01-03-01-01-01-02.mp4", content=b"")
    with pytest.warns(UserWarning, match="the file is empty"):
        assert len(corpus.load()) == 1
    (corpus.folder / "01-01-03-01-01-01-02.mp4").unlink()
    assert len(corpus.load()) == 1


def test_the_fingerprint_changes_with_size_and_time(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    scan = CorpusScan(files=[path])
    first = scan.fingerprint()
    assert scan.fingerprint() == first
    os.utime(path, (2, 2))
    later = scan.fingerprint()
    path.write_bytes(b"xy")
    os.utime(path, (2, 2))
    assert len({first, later, scan.fingerprint()}) == 3


def test_the_table_is_kept(corpus, monkeypatch):
    corpus.add("01-01-03-01-01-01-01.mp4")
    corpus.load()
    monkeypatch.setattr(EmotionCorpusBuilder, "_generate_examples", lambda self, rows: pytest.fail("written again"))
    assert len(corpus.load()) == 1


def test_two_processes_write_the_same_table(corpus, tmp_path):
    corpus.add(*(f"01-01-03-01-01-01-{actor:02d}.mp4" for actor in range(1, 10)))
    alone = corpus.load()
    shared = load_corpus("ravdess", corpus.folder, cache_dir=tmp_path / "other", num_proc=2)
    assert alone.to_dict() == shared.to_dict()


def test_default_folds_test_four_actors_at_a_time(corpus):
    corpus.add(*(f"Actor_{actor:02d}/01-01-03-01-01-01-{actor:02d}.mp4" for actor in range(1, 25)))
    dataset = corpus.load()
    assert Counter(dataset["fold"]) == dict.fromkeys(range(6), 4)
    assert corpus_folds(dataset)[1] == ["05", "06", "07", "08"]


def test_one_actor_is_one_fold(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4")
    assert corpus.load()["fold"][:] == [0]


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "a.mp4").write_bytes(b"x")
    (tmp_path / "real" / "deep" / "up").symlink_to(tmp_path / "real")
    (tmp_path / "corpus").symlink_to(tmp_path / "real")
    assert [path.name for path in walk(tmp_path / "corpus")] == ["a.mp4"]


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected RAVDESS recordings.*does not exist.*zenodo"):
        load_corpus("ravdess", tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_corpus("ravdess", tmp_path / "file")
    with pytest.raises(ValueError, match="needs `data_dir`"):
        load_corpus("ravdess")


def test_an_empty_or_foreign_folder_says_what_was_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="found nothing"):
        load_corpus("ravdess", tmp_path)
    (tmp_path / "holiday.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"found holiday\.txt"):
        load_corpus("ravdess", tmp_path)
    (tmp_path / "01-01-03-01-01-01-01.mp4").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="found only .*the file is empty"):
        load_corpus("ravdess", tmp_path)


def test_unknown_names_and_options(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4")
    with pytest.raises(ValueError, match=f"one of {', '.join(sorted(CORPORA))}, received 'radvess'"):
        load_corpus("radvess")
    with pytest.raises(ValueError, match="has no option chanel. Its options are: channel"):
        corpus.load(chanel="song")
    with pytest.raises(ValueError, match="'speech', 'song' or 'both', received 'singing'"):
        corpus.load(channel="singing")


def test_a_row_outside_the_schema_is_refused(tmp_path):
    class Wrong(EmotionCorpusBuilder):
        NAME, LABELS, LICENSE = "wrong", ["a"], "none"

        def scan(self, config):
            return CorpusScan(rows=[{"clip_id": "1", "label": "a", "speaker_id": "1", "colour": "red"}])

    with pytest.raises(ValueError, match="colour"):
        Wrong(cache_dir=tmp_path)


def test_streaming(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4", "01-01-03-01-01-01-02.mp4")
    from dataset_scripts import corpus_builder

    stream = corpus_builder("ravdess")(data_dir=corpus.folder, cache_dir=corpus.folder.parent).as_streaming_dataset(
        "train"
    )
    assert [row["speaker_id"] for row in stream] == ["01", "02"]


# ---- sound with action units


def test_action_unit_names():
    assert len(ACTION_UNIT_COLUMNS) == 35
    assert ACTION_UNIT_COLUMNS[0] == "AU01_r"
    assert ACTION_UNIT_COLUMNS[16:18] == ["AU45_r", "AU01_c"]
    assert ACTION_UNIT_COLUMNS[-2:] == ["AU28_c", "AU45_c"]


def test_sound_and_units_are_joined(corpus):
    corpus.add("Actor_01/03-01-05-02-01-01-01.wav", "Actor_02/03-01-06-01-01-01-02.flac")
    corpus.add_units("01-01-05-02-01-01-01", "01-01-06-01-01-01-02")
    dataset = corpus.load("ravdess_au")
    assert dataset["clip_id"][:] == ["03-01-05-02-01-01-01", "03-01-06-01-01-01-02"]
    row = dataset[0]
    assert row["video"] is None
    assert row["audio"].endswith("03-01-05-02-01-01-01.wav")
    assert row["features"]["action_units"] == pytest.approx([index / 10 for index in range(35)])


def test_units_are_found_by_name_not_by_place(corpus):
    corpus.add("03-01-05-02-01-01-01.wav")
    corpus.add_units("01-01-05-02-01-01-01", header=("clip_id", *ACTION_UNIT_COLUMNS[::-1], "extra"))
    units = corpus.load("ravdess_au")[0]["features"]["action_units"]
    assert units == pytest.approx([index / 10 for index in range(34, -1, -1)])


def test_missing_partners_are_named(corpus):
    corpus.add("03-01-05-02-01-01-01.wav", "03-01-06-01-01-01-01.wav", "03-02-06-01-01-01-01.wav")
    corpus.add_units("01-01-05-02-01-01-01", "01-01-03-01-01-01-01", "01-02-03-01-01-01-01")
    with pytest.warns(UserWarning, match="skipped 2 of") as caught:
        assert len(corpus.load("ravdess_au")) == 1
    message = str(caught[0].message)
    assert "03-01-06-01-01-01-01.wav: no action units for 01-01-06-01-01-01-01" in message
    assert "01-01-03-01-01-01-01 in" in message
    assert "no sound file" in message


def test_damaged_lines_are_named(corpus):
    corpus.add("03-01-05-02-01-01-01.wav")
    good = ",".join(["01-01-05-02-01-01-01", *["0.5"] * 35])
    lines = [
        ", ".join(["clip_id", *ACTION_UNIT_COLUMNS]),
        good,
        good.replace("0.5", "0.7"),
        good.replace("0.5", "nan"),
        "01-01-05-02-01-01-01,0.5",
        good.replace("0.5", "much"),
        good.replace("01-01-05", "clip"),
        "",
    ]
    corpus.add("openface_au_mean.csv", content=b"\xef\xbb\xbf" + "\n".join(lines).encode())
    with pytest.warns(UserWarning, match="skipped 5 of") as caught:
        dataset = corpus.load("ravdess_au")
    assert dataset[0]["features"]["action_units"] == [0.5] * 35
    assert "line 3: a second line for" in str(caught[0].message)
    assert "line 4: an action unit is not a finite number" in str(caught[0].message)


def test_a_table_without_a_unit_is_refused(corpus):
    corpus.add("03-01-05-02-01-01-01.wav")
    corpus.add_units("01-01-05-02-01-01-01", header=("clip_id", *ACTION_UNIT_COLUMNS[1:]))
    with pytest.raises(ValueError, match="missing: AU01_r"):
        corpus.load("ravdess_au")


def test_where_the_units_are(corpus, tmp_path):
    corpus.add("03-01-05-02-01-01-01.wav")
    with pytest.raises(FileNotFoundError, match=r"Expected one openface_au_mean\.csv.*found none"):
        corpus.load("ravdess_au")
    corpus.add_units("01-01-05-02-01-01-01", name="a/openface_au_mean.csv")
    corpus.add_units("01-01-05-02-01-01-01", name="b/openface_au_mean.csv")
    with pytest.raises(FileNotFoundError, match=r"a/openface_au_mean\.csv, .*b/openface_au_mean\.csv"):
        corpus.load("ravdess_au")
    shutil.move(corpus.folder / "a" / "openface_au_mean.csv", tmp_path / "units.csv")
    assert len(corpus.load("ravdess_au", units_csv=str(tmp_path / "units.csv"))) == 1
    sound = corpus.folder
    corpus.folder = corpus.folder / "b"
    assert len(corpus.load("ravdess_au", audio_dir=str(sound))) == 1
    with pytest.raises(FileNotFoundError, match="is not a file"):
        corpus.load("ravdess_au", units_csv=str(tmp_path / "nowhere.csv"))


def test_changed_units_change_the_table(corpus):
    corpus.add("03-01-05-02-01-01-01.wav")
    corpus.add_units("01-01-05-02-01-01-01")
    first = corpus.load("ravdess_au")[0]["features"]["action_units"]
    corpus.add_units("01-01-05-02-01-01-01", header=("clip_id", *ACTION_UNIT_COLUMNS[::-1]))
    assert corpus.load("ravdess_au")[0]["features"]["action_units"] != first


# ---- the real corpus


@pytest.mark.real_data
def test_all_real_pairs(real_data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = load_corpus("ravdess_au", real_data / "ravdess", cache_dir=tmp_path)
    names = dataset.features["label"].names
    assert Counter(names[label] for label in dataset["label"]) == {
        name: 80 if name == "neutral" else 160 for name in EMOTIONS
    }
    assert set(Counter(dataset["speaker_id"]).values()) == {60}
    assert corpus_folds(dataset) == [
        [f"{actor:02d}" for actor in range(start, start + 4)] for start in range(1, 21, 4)
    ]
    assert RavdessAu.LICENSE in set(dataset["license"])


@pytest.mark.real_data
def test_real_videos(real_data, tmp_path):
    dataset = load_corpus("ravdess", real_data / "ravdess" / "video_720p", cache_dir=tmp_path)
    assert len(dataset) == 8
    assert {os.path.basename(path)[:2] for path in dataset["video"]} == {"01", "02"}
    assert len(load_corpus("ravdess", real_data / "ravdess" / "actor05_face_crops", cache_dir=tmp_path)) == 60
