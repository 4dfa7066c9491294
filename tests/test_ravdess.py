"""RAVDESS as it is published: archives and extracted folders, downloads, folds of papers, and what is missing."""

import logging
import os
import warnings
import zipfile
from collections import Counter

import datasets
import pytest
from zenodo_server import ZenodoServer

from dataset_scripts import archives, check_disjoint, corpus_folds, load_corpus, split_indices
from dataset_scripts.archives import ArchiveError
from dataset_scripts.download import ZENODO_VARIABLE, DownloadError
from dataset_scripts.folds import NEVER_TESTED, published_folds
from dataset_scripts.ravdess import FOLDS, parse_ravdess_name
from dataset_scripts.ravdess_published import ACTORS, SINGERS, published_archives, published_takes


class Corpus:
    """A folder of the official layout, with files of one byte, and the way to load it."""

    def __init__(self, folder, cache):
        self.folder, self.cache = folder, cache
        folder.mkdir()

    def add(self, *names, content=b"x"):
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)

    def add_zip(self, archive, *names, content=b"x"):
        (self.folder / archive).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(self.folder / archive, "w") as opened:
            for name in names:
                opened.writestr(name, content)

    def load(self, name="ravdess", **options):
        return load_corpus(name, self.folder, cache_dir=self.cache, **options)

    def unpacked(self):
        folder = self.cache / "ravdess_archives"
        return sorted(path.name.rpartition("-")[0] for path in folder.glob("[!.]*")) if folder.exists() else []


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path / "corpus", tmp_path / "cache")


def official_name(modality, take):
    """Where a file is in the official tree, below the name of its archive."""
    return f"Actor_{take[-2:]}/{modality}-{take}.{'wav' if modality == '03' else 'mp4'}"


def one_take_each(corpus, modality="01", actors=ACTORS):
    corpus.add(*(official_name(modality, f"01-03-01-01-01-{actor}") for actor in actors))


# ---- what was published


def test_the_published_numbers():
    """24 actors spoke 60 takes, all but actor 18 sang 44 (https://zenodo.org/records/1188976)."""
    speech, song = published_takes("speech"), published_takes("song")
    assert (len(speech), len(song), 3 * (len(speech) + len(song))) == (1440, 1012, 7356)
    counts = Counter(parse_ravdess_name(f"01-{take}").label for take in speech)
    assert (counts.pop("neutral"), set(counts.values()), len(counts)) == (96, {192}, 7)
    counts = Counter(parse_ravdess_name(f"01-{take}").label for take in song)
    assert (counts.pop("neutral"), set(counts.values()), set(counts)) == (
        92,
        {184},
        {"calm", "happy", "sad", "angry", "fearful"},
    )
    assert Counter(take[-2:] for take in speech) == dict.fromkeys(ACTORS, 60)
    assert Counter(take[-2:] for take in song) == dict.fromkeys(SINGERS, 44)


def test_the_published_archives():
    names = published_archives("both")
    assert len(names) == 24 + 23 + 2
    assert {"Video_Speech_Actor_18.zip", "Video_Song_Actor_01.zip", "Audio_Song_Actors_01-24.zip"} <= set(names)
    assert "Video_Song_Actor_18.zip" not in names
    assert list(published_archives("song", "audio")) == ["Audio_Song_Actors_01-24.zip"]
    assert len(names["Video_Song_Actor_01.zip"][1]) == 44


@pytest.mark.slow
def test_the_whole_official_tree(corpus):
    for channel in ("speech", "song"):
        for take in published_takes(channel):
            video = f"Video_{channel.title()}_Actor_{take[-2:]}"
            corpus.add(f"{video}/{official_name('01', take)}", f"{video}/{official_name('02', take)}")
            corpus.add(f"Audio_{channel.title()}_Actors_01-24/{official_name('03', take)}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = corpus.load(channel="both")
        assert len(dataset) == len(set(dataset["utterance_group"])) == 1440 + 1012
        assert {os.path.basename(path)[:2] for path in dataset["video"]} == {"01"}
        assert set(dataset["audio"]) == {None}
        assert len(corpus.load(channel="speech", media="audio")) == 1440
        assert set(corpus.load(channel="song", media="audio")["video"]) == {None}
    (corpus.folder / "Audio_Song_Actors_01-24" / "Actor_24" / "03-02-06-02-02-02-24.wav").unlink()
    with pytest.warns(
        UserWarning, match=r"1,011 of the 1,012 published audio-only .* missing 1 \(1 fearful\): 03-02-06-"
    ):
        corpus.load(channel="both")


def test_missing_and_foreign_takes_are_named(corpus):
    takes = sorted(published_takes("speech"))
    corpus.add(*(official_name("01", take) for take in takes[12:]), "01-01-03-01-01-01-25.mp4")
    with pytest.warns(UserWarning, match="1,428 of the 1,440 published audio-video speech takes are there") as caught:
        corpus.load()
    message = str(caught[0].message)
    assert "; missing 12 (12 neutral): 01-01-01-01-01-01-01, " in message
    assert "and 2 more; not published 1 (1 happy): 01-01-03-01-01-01-25." in message


def test_a_part_of_the_corpus_says_how_much_it_is(corpus, caplog):
    one_take_each(corpus, actors=["02", "05"])
    one_take_each(corpus, "03", actors=["05"])
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error", UserWarning)
        corpus.load()
    assert caplog.messages == [
        "ravdess: 2 of the 1,440 published audio-video speech takes are there, of the actors 02, 05.",
        "ravdess: 1 of the 1,440 published audio-only speech takes are there, of the actors 05.",
    ]


# ---- archives


def test_archives_and_folders_mixed(corpus):
    corpus.add("Video_Speech_Actor_01/Actor_01/01-01-03-01-01-01-01.mp4")
    corpus.add_zip(
        "Video_Speech_Actor_02.zip",
        "Actor_02/01-01-03-01-01-01-02.mp4",
        "Actor_02/02-01-03-01-01-01-02.mp4",
        "license.txt",
    )
    corpus.add_zip("sound/Audio_Speech_Actors_01-24.zip", "Actor_03/03-01-03-01-01-01-03.wav")
    corpus.add_zip("Video_Song_Actor_01.zip", "Actor_01/01-02-03-01-01-01-01.mp4")
    corpus.add_zip("holiday.zip", "beach.mp4")
    dataset = corpus.load()
    assert dataset["clip_id"][:] == ["01-01-03-01-01-01-01", "01-01-03-01-01-01-02", "03-01-03-01-01-01-03"]
    assert all(os.path.isfile(row["video"] or row["audio"]) for row in dataset)
    assert corpus.unpacked() == ["Audio_Speech_Actors_01-24", "Video_Speech_Actor_02"]
    assert not list(corpus.cache.rglob("license.txt"))
    assert len(corpus.load(channel="both")) == 4
    assert len(corpus.load(media="audio")) == 1


def test_archives_are_unpacked_once(corpus, monkeypatch):
    corpus.add_zip("Video_Speech_Actor_02.zip", "Actor_02/01-01-03-01-01-01-02.mp4")
    first = corpus.load()["video"][:]
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write_member", lambda *arguments: pytest.fail("unpacked again"))
        assert corpus.load()["video"][:] == first
    corpus.add_zip("Video_Speech_Actor_02.zip", *(f"Actor_02/01-01-0{code}-01-01-01-02.mp4" for code in (3, 4)))
    assert len(corpus.load()) == 2


def test_an_archive_that_lies_extracted_beside_itself_is_left_alone(corpus):
    names = ["Actor_02/01-01-03-01-01-01-02.mp4", "Actor_02/02-01-03-01-01-01-02.mp4"]
    corpus.add(*names)
    corpus.add_zip("Video_Speech_Actor_02.zip", *names)
    assert len(corpus.load()) == 1
    assert corpus.unpacked() == []


def test_hostile_archives(corpus):
    corpus.add_zip("Video_Speech_Actor_02.zip", "../../01-01-04-01-01-01-02.mp4", "Actor_02/01-01-03-01-01-01-02.mp4")
    with pytest.warns(UserWarning, match=r"skipped 1 .*01-01-04-01-01-01-02\.mp4 in .*leads out of the archive"):
        assert len(corpus.load()) == 1
    content = (corpus.folder / "Video_Speech_Actor_02.zip").read_bytes()
    corpus.add("Video_Speech_Actor_02.zip", content=content[:-30])
    with pytest.raises(ArchiveError, match=r"Video_Speech_Actor_02\.zip: expected a whole zip archive"):
        corpus.load()
    corpus.add("Video_Speech_Actor_02.zip", content=b"")
    corpus.add("01-01-04-01-01-01-02.mp4")
    with pytest.warns(UserWarning, match=r"Video_Speech_Actor_02\.zip: the file is empty"):
        assert len(corpus.load()) == 1


# ---- one take in three formats


def test_no_protocol_puts_a_take_on_two_sides(corpus):
    takes = [
        f"01-0{emotion}-01-01-0{repetition}-{actor}" for actor in ACTORS for emotion in (3, 5) for repetition in (1, 2)
    ]
    for index, take in enumerate(takes):
        corpus.add(
            *(
                official_name(modality, take)
                for modality in (["01", "02", "03"], ["02", "03"], ["01", "03"])[index % 3]
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for folds in FOLDS:
            # One row per take; and, put together by hand, one row per format of each take.
            once = corpus.load(folds=folds)
            twice = datasets.concatenate_datasets(
                [corpus.load(folds=folds, media=media) for media in ("video", "audio")]
            )
            assert len(once) == len(takes)
            assert len(twice) == 2 * len(takes)
            for dataset in (once, twice):
                groups = dataset["utterance_group"][:]
                for fold in range(len(corpus_folds(dataset))):
                    splits = split_indices(dataset, fold)
                    sides = [{groups[index] for index in splits[side]} for side in splits]
                    assert sum(map(len, sides)) == len(takes)
                    assert set.union(*sides) == set(takes)
    sound = next(index for index, row in enumerate(twice) if row["video"] is None)
    picture = next(
        index for index, row in enumerate(twice) if row["utterance_group"] == groups[sound] and row["video"]
    )
    unnamed = twice.remove_columns("speaker_id").add_column("speaker_id", [str(index) for index in range(len(twice))])
    with pytest.raises(ValueError, match=f"utterance_group '{groups[sound]}' is in both the train and the test part"):
        check_disjoint(unnamed, {"train": [picture], "test": [sound]})


# ---- folds of papers


def test_six_folds_of_four(corpus):
    one_take_each(corpus)
    assert corpus_folds(corpus.load()) == [list(ACTORS[start : start + 4]) for start in range(0, 24, 4)]


def test_the_folds_of_luna_jimenez(corpus):
    one_take_each(corpus)
    with pytest.warns(UserWarning, match="takes are there") as caught:
        dataset = corpus.load(folds="luna-jimenez")
    assert len(caught) == 1
    assert [[int(actor) for actor in block] for block in corpus_folds(dataset)] == [
        [2, 5, 14, 15, 16],
        [3, 6, 7, 13, 18],
        [10, 11, 12, 19, 20],
        [8, 17, 21, 23, 24],
        [1, 4, 9, 22],
    ]


def test_the_folds_of_cfn_sr_never_test_four_actors(corpus):
    one_take_each(corpus)
    with pytest.warns(UserWarning, match="train on the actors 21, 22, 23, 24 in every fold and never test them"):
        dataset = corpus.load(folds="cfn_sr")
    assert corpus_folds(dataset) == [list(ACTORS[start : start + 4]) for start in range(0, 20, 4)]
    assert Counter(dataset["fold"])[NEVER_TESTED] == 4
    for fold in range(5):
        splits = split_indices(dataset, fold, validation_speakers=0)
        assert len(splits["train"]) == 20
        assert {dataset[index]["speaker_id"] for index in splits["train"]} >= {"21", "22", "23", "24"}
    with pytest.raises(ValueError, match="from 0 to 4, received 5"):
        split_indices(dataset, 5)
    # A list of folds of one's own is held to the same: only those are exempt of whom the corpus says so.
    with pytest.raises(ValueError, match="but 20 would be trained on and never tested"):
        split_indices(dataset, 0, folds=[list(ACTORS[:10]), list(ACTORS[10:19])])
    with pytest.raises(ValueError, match="but 21, 22, 23, 24 would be trained on and never tested"):
        split_indices(corpus.load(), 0, folds=corpus_folds(dataset))


@pytest.mark.parametrize("folds", ["luna-jimenez", "cfn_sr"])
def test_published_folds_of_fewer_actors(corpus, folds):
    one_take_each(corpus, actors=["01", "02", "05", "22"])
    with pytest.warns(UserWarning, match=f"'{folds}' are kept to the 4 actors who are there; .* not comparable"):
        dataset = corpus.load(folds=folds)
    expected = [["02", "05"], ["01", "22"]] if folds == "luna-jimenez" else [["01", "02"], ["05"]]
    assert corpus_folds(dataset) == expected
    for fold in range(2):
        split_indices(dataset, fold)


def test_published_folds_know_their_speakers():
    assert published_folds(["b", "a", "c"], [["x"], ["b"], ["a"]], ["c"]) == {"a": 1, "b": 0, "c": NEVER_TESTED}
    with pytest.raises(ValueError, match="speakers of the published folds, received 25"):
        published_folds(["01", "25"], [["01"]])


def test_the_sound_with_action_units_has_the_same_folds(corpus):
    from dataset_scripts.ravdess_au import ACTION_UNIT_COLUMNS

    one_take_each(corpus, "03")
    lines = [",".join(["clip_id", *ACTION_UNIT_COLUMNS])]
    lines += [",".join([f"01-01-03-01-01-01-{actor}", *["0.5"] * 35]) for actor in ACTORS]
    corpus.add("openface_au_mean.csv", content="\n".join(lines).encode())
    assert corpus_folds(corpus.load("ravdess_au", folds="luna-jimenez"))[4] == ["01", "04", "09", "22"]


@pytest.mark.parametrize(("option", "value"), [("folds", "5x5"), ("media", "pictures")])
def test_unknown_choices(corpus, option, value):
    one_take_each(corpus)
    with pytest.raises(ValueError, match=f"Expected {option} to be one of .*, received '{value}'"):
        corpus.load(**{option: value})


# ---- downloads


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    """All archives of sung sound and spoken video, with files of one byte."""
    files = {}
    for channel, media in (("song", "audio"), ("speech", "video")):
        for name, (modality, takes) in published_archives(channel, media).items():
            with zipfile.ZipFile(tmp_path / name, "w") as opened:
                for take in takes:
                    for kind in ("03",) if modality == "03" else ("01", "02"):
                        opened.writestr(official_name(kind, take), b"x")
            files[name] = (tmp_path / name).read_bytes()
    server = ZenodoServer({**files, "Video_Song_Actor_01.zip": b"not asked for"})
    monkeypatch.setenv(ZENODO_VARIABLE, server.url)
    yield server
    server.shutdown()
    server.server_close()


def fetched(zenodo):
    return [name for name, _ in zenodo.requests if name != "record"]


def test_download(zenodo, tmp_path):
    folder = tmp_path / "new"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = load_corpus("ravdess", folder, tmp_path / "cache", download=True, channel="song", media="audio")
        assert len(dataset) == 1012
        assert fetched(zenodo) == ["Audio_Song_Actors_01-24.zip"]
        again = load_corpus("ravdess", folder, tmp_path / "cache", download=True, channel="song", media="audio")
    assert again.to_dict() == dataset.to_dict()
    assert [name for name, _ in zenodo.requests] == ["record", "Audio_Song_Actors_01-24.zip"]
    assert len(load_corpus("ravdess", folder, tmp_path / "cache", channel="song")) == 1012


def test_only_what_is_missing_is_downloaded(zenodo, corpus):
    for actor in ACTORS[:22]:
        corpus.add(*(official_name("01", take) for take in published_takes("speech", [actor])))
    name = "Video_Speech_Actor_23.zip"
    corpus.add(name, content=zenodo.files[name][:-100])  # as a browser leaves it
    dataset = corpus.load(download=True, media="video")
    assert len(dataset) == 1440
    assert fetched(zenodo) == ["Video_Speech_Actor_23.zip", "Video_Speech_Actor_24.zip"]
    assert corpus.unpacked() == ["Video_Speech_Actor_23", "Video_Speech_Actor_24"]


def test_downloads_that_cannot_be(zenodo, corpus):
    with pytest.raises(DownloadError, match=r"Expected Audio_Speech_Actors_01-24\.zip in https://zenodo\.org"):
        corpus.load(download=True, media="audio")
    with pytest.raises(ValueError, match="'speech', 'song' or 'both', received 'singing'"):
        corpus.load(download=True, channel="singing")
    with pytest.raises(ValueError, match="needs `data_dir`, the folder to download to"):
        load_corpus("ravdess", download=True)


# ---- face tracks and the pictures they are published with


def test_face_tracks_are_found_by_name(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4", "02-01-03-01-01-01-02.mp4", "03-01-03-01-01-01-03.wav")
    corpus.add(*(f"FacialTracking_Actors_01-24/01-01-03-01-01-01-0{actor}.csv" for actor in (1, 2, 3)), "notes.csv")
    corpus.add_zip("Video_Speech_Actor_04.zip", "Actor_04/01-01-03-01-01-01-04.mp4")
    corpus.add_zip("FacialTracking_Actors_01-24.zip", "01-01-03-01-01-01-04.csv")
    rows = {row["speaker_id"]: row["face_track"] for row in corpus.load()}
    # The video without sound is another file than the one that was tracked.
    assert (rows.pop("02"), rows.pop("03")) == (None, None)
    assert [os.path.basename(path) for path in rows.values()] == [
        "01-01-03-01-01-01-01.csv",
        "01-01-03-01-01-01-04.csv",
    ]
    assert set(corpus.load(face_tracks=False)["face_track"]) == {None}


def test_an_empty_track_is_skipped(corpus):
    corpus.add("01-01-03-01-01-01-01.mp4")
    corpus.add("01-01-03-01-01-01-01.csv", content=b"")
    with pytest.warns(UserWarning, match=r"01-01-03-01-01-01-01\.csv: the file is empty"):
        assert corpus.load()[0]["face_track"] is None


def test_videos_with_the_tracking_drawn_in_are_no_recordings(corpus):
    corpus.add("tracking/01-01-03-01-01-01-01.avi", "videos/01-01-03-01-01-01-01.mp4")
    corpus.add_zip("Tracking_Actor_02.zip", "01-01-03-01-01-01-02.avi")
    with pytest.warns(UserWarning, match=r"\.avi: a video with the face tracking drawn into it"):
        dataset = corpus.load()
    assert [os.path.basename(path) for path in dataset["video"]] == ["01-01-03-01-01-01-01.mp4"]
    assert corpus.unpacked() == []


# ---- the real corpus


@pytest.mark.real_data
def test_real_sound(real_data, tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = load_corpus("ravdess", real_data / "ravdess" / "audio_speech", tmp_path)
    assert len(dataset) == 1200
    assert set(dataset["video"]) == {None}
    assert len(corpus_folds(dataset)) == 5
    assert "1,200 of the 1,440 published audio-only speech takes" in caplog.text
    with pytest.warns(UserWarning, match="20 actors who are there; 21, 22, 23, 24 are missing"):
        folds = corpus_folds(
            load_corpus("ravdess", real_data / "ravdess" / "audio_speech", tmp_path, folds="luna-jimenez")
        )
    assert [len(block) for block in folds] == [5, 5, 5, 2, 3]


@pytest.mark.real_data
def test_real_files_zipped(real_data, tmp_path):
    """The same clips from an archive of the official form as from their folder."""
    source = real_data / "ravdess" / "video_720p"
    (tmp_path / "corpus").mkdir()
    with zipfile.ZipFile(tmp_path / "corpus" / "Video_Speech_Actor_05.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for path in source.rglob("*.mp4"):
            opened.write(path, path.relative_to(source))
    packed = load_corpus("ravdess", tmp_path / "corpus", tmp_path / "cache")
    plain = load_corpus("ravdess", source, tmp_path / "cache")
    assert packed.remove_columns("video").to_dict() == plain.remove_columns("video").to_dict()
    for one, other in zip(packed["video"], plain["video"], strict=True):
        with open(one, "rb") as first, open(other, "rb") as second:
            assert first.read() == second.read()
