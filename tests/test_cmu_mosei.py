"""CMU-MOSEI and MOSI, from feature pickles and from computational sequences."""

import json
import pickle
import sys
import warnings

import numpy as np
import pytest

from dataset_scripts import corpus_folds, load_corpus, published_split_indices
from dataset_scripts.cmu_mosei import EMOTIONS, SENTIMENTS, read_split, sentiment_class
from dataset_scripts.csd_files import ComputationalSequence, CsdError, mean_of_words, overlapping


def side(ids, sentiments, seed=0):
    generator = np.random.default_rng(seed)
    sizes = {"text": 6, "audio": 3, "vision": 2}
    arrays = {name: generator.normal(size=(len(ids), 4, size)) for name, size in sizes.items()}
    return arrays | {"labels": np.array(sentiments, np.float32).reshape(-1, 1, 1), "id": np.array(ids)}


@pytest.fixture
def content():
    return {
        "train": side([["v10", "0.5", "2.25"], ["v10", "3.0", "4.5"], ["v2", "-0.47", "1.0"]], [3.0, -2.6666667, 0.0]),
        "valid": side([["v3", "0.1", "1.0"]], [0.3333]),
        "test": side([["v4", "0.1", "1.0"]], [-1.0]),
    }


@pytest.fixture
def load(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()

    def load(content=None, corpus="cmu_mosei", name="mosei_senti_data.pkl", **options):
        if content is not None:
            (folder / name).write_bytes(pickle.dumps(content, 4))
        return load_corpus(corpus, folder, cache_dir=tmp_path / "cache", **options)

    load.folder = folder
    return load


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (-3.2, "strongly negative"),
        (-0.4, "neutral"),
        (0.5, "neutral"),
        (1.5, "positive"),
        (0.6, "weakly positive"),
        (9, "strongly positive"),
    ],
)
def test_classes_of_sentiment(value, name):
    assert sentiment_class(value) == name


# ---- pickles


def test_rows_of_a_pickle(load, content):
    dataset = load(content)
    assert dataset["clip_id"][:] == ["v10[0.5]", "v10[3.0]", "v2[-0.47]", "v3[0.1]", "v4[0.1]"]
    assert dataset["speaker_id"][:] == ["v10", "v10", "v2", "v3", "v4"]
    assert [SENTIMENTS[label] for label in dataset["label"]] == [
        "strongly positive",
        "strongly negative",
        "neutral",
        "neutral",
        "weakly negative",
    ]
    assert np.ravel(dataset["targets"][:]) == pytest.approx([3, -2.6666667, 0, 0.3333, -1])
    assert (dataset[2]["start_seconds"], dataset[2]["end_seconds"]) == (-0.47, 1.0)
    assert np.allclose(dataset[4]["features"]["audio"], content["test"]["audio"][0], atol=1e-6)
    assert published_split_indices(dataset) == {"train": [0, 1, 2], "validation": [3], "test": [4]}
    assert corpus_folds(dataset) == [["v2"], ["v3"], ["v4"], ["v10"]]


@pytest.mark.parametrize(
    "ids",
    [
        [[b"v\xc3\xa9", b"0.5", b"2.5"]],
        [["v\xe9", "0.5", "2.5"]],
        [["v\xe9[0.5]"]],
        np.array([["v\xe9", 0.5, "2.5"]], object),
    ],
)
def test_ids_in_every_writing(load, content, ids):
    content["test"]["id"] = np.array(ids)
    row = load(content, "cmu_mosi", "mosi_data.pkl")[4]
    assert row["utterance_group"] == row["clip_id"]
    assert (row["clip_id"], row["speaker_id"]) == ("v\xe9[0.5]", "v\xe9")


def test_damaged_rows_of_a_pickle_are_named(load, content):
    content["train"]["labels"][1] = np.nan
    content["test"]["id"] = np.array([["v10", "0.5", "2"]])
    with pytest.warns(UserWarning, match="skipped 2 of") as caught:
        assert len(load(content)) == 3
    message = str(caught[0].message)
    assert "train, clip 1: expected finite labels" in message
    assert "test, clip 0: a second clip v10[0.5]" in message
    content["train"]["id"] = "v10"
    with pytest.warns(UserWarning, match="train, clip 0: the file has no ids"):
        assert len(load(content)) == 2
    content["valid"]["id"] = [["v3", "0.1", "1.0"]] * 2
    with pytest.raises(ValueError, match="as many clips, received .*'id': 2"):
        load(content)
    content["valid"]["id"] = [["v3", "0.1", "1.0"]]
    content["valid"]["labels"] = np.zeros((1, 4, 2))
    with pytest.raises(ValueError, match=r"7 numbers for each clip, received \(1, 4, 2\)"):
        load(content)


def test_a_video_on_two_sides_of_the_published_split_is_found(load, content):
    content["test"]["id"] = np.array([["v10", "9.0", "10.0"]])
    with pytest.raises(ValueError, match="speaker_id 'v10' is in both the train and the test part"):
        published_split_indices(load(content))


# ---- computational sequences


def write_csd(path, root, entries, names=None):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        data = file.create_group(f"{root}/data")
        for video, (intervals, features) in entries.items():
            data.create_dataset(f"{video}/intervals", data=np.array(intervals, float), compression="gzip")
            data.create_dataset(f"{video}/features", data=features, compression="gzip")
        if names is not None:
            file.create_dataset(
                f"{root}/metadata/dimension names", data=[json.dumps(names)], dtype=h5py.string_dtype()
            )
    return path


@pytest.fixture
def csd_folder(load):
    """One video of five words and two sentences, whose labels are not in the order of time, and one of one word."""
    folder = load.folder / "csd"
    folder.mkdir()
    words = [[0, 0.4], [0.4, 0.5], [0.5, 1.0], [2.0, 2.5], [2.5, 3.0]]
    spoken = np.array([[b"it"], [b"sp"], [b"works"], [b"not"], [b"now"]], "S32")
    vectors = np.arange(5 * 3, dtype=np.float32).reshape(5, 3)
    frames = np.stack([np.arange(30), np.arange(30) + 1], axis=1) / 10
    audio = np.stack([np.arange(30.0), np.full(30, 2.0)], axis=1)
    audio[1, 1] = -np.inf
    pictures = np.array([[0, 0.45], [2.0, 3.0]])
    labels = [[2, 0, 1, 0, 0, 0.3333, 0], [-1.3333, 3, 0, 0, 0, 0, 0]]
    write_csd(
        folder / "CMU_MOSEI_Labels.csd",
        "All Labels",
        {"v1": ([[2.0, 3.0], [0, 1.0]], labels), "v2": ([[0, 1]], [[0] * 7])},
        ["sentiment", *EMOTIONS],
    )
    order = [3, 0, 1, 2, 4]
    write_csd(
        folder / "CMU_MOSEI_TimestampedWordVectors.csd",
        "glove_vectors",
        {"v1": (np.array(words)[order], vectors[order]), "v2": ([[0, 1]], [[1.0, 2.0, 3.0]])},
    )
    write_csd(folder / "CMU_MOSEI_TimestampedWords.csd", "words", {"v1": (words, spoken)})
    write_csd(folder / "CMU_MOSEI_COVAREP.csd", "COVAREP", {"v1": (frames, audio), "v2": ([[0, 1]], [[0.5, 0.5]])})
    write_csd(
        folder / "CMU_MOSEI_VisualFacet42.csd",
        "FACET 4.2",
        {"v1": (pictures, [[1.0], [2.0]]), "v2": ([[0, 1]], [[4.0]])},
    )
    return folder


def test_rows_of_computational_sequences(load, csd_folder):
    with pytest.warns(UserWarning, match="read as 0.*1 in audio"):
        dataset = load(form="csd")
    # Numbered as in the file of labels.
    assert dataset["clip_id"][:] == ["v1[0]", "v1[1]", "v2[0]"]
    assert dataset["text"][:] == ["not now", "it works", None]
    assert dataset["targets"][1] == pytest.approx([-1.3333, 3, 0, 0, 0, 0, 0])
    assert [SENTIMENTS[label] for label in dataset["label"]] == ["positive", "weakly negative", "neutral"]
    assert (dataset[1]["start_seconds"], dataset[1]["end_seconds"]) == (0, 1)
    features = dataset[1]["features"]
    assert features["text"] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    # 0 to 0.4 s are the steps 0 to 3, whose second number is 2 but once infinite.
    assert np.allclose(features["audio"], [[1.5, 1.5], [4, 2], [7, 2]])
    # The picture ends within the second word; the third word was not seen.
    assert np.allclose(features["vision"], [[1], [1], [np.nan]], equal_nan=True)
    assert dataset["split"][:] == [None] * 3


@pytest.mark.filterwarnings("ignore:.*not finite")
def test_the_published_split_comes_from_a_file(load, csd_folder, tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["v1", "v9"], "valid": [], "test": ["v2"]}))
    dataset = load(form="csd", split_file=str(path))
    assert published_split_indices(dataset) == {"train": [0, 1], "validation": [], "test": [2]}
    path.write_text(json.dumps({"train": ["v8"]}))
    with pytest.raises(ValueError, match="found none of them"):
        load(form="csd", split_file=str(path))
    for wrong, message in (
        ({"train": ["v1"], "test": ["v1"]}, "v1 is both in train and in test"),
        ({"dev": []}, r"received \['dev'\]"),
        ({"train": "v1"}, "train is no list"),
        ([1], "received list"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=message):
            read_split(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        read_split(path)


@pytest.mark.filterwarnings("ignore:.*not finite")
def test_missing_sequences_and_videos_are_named(load, csd_folder):
    write_csd(csd_folder / "CMU_MOSEI_COVAREP.csd", "COVAREP", {"v1": ([[0, 5]], [[1.0]])})
    labels = {
        "v1": ([[2.0, 3.0], [7, 8], [0, 1]], [[0] * 7, [0] * 7, [0, np.nan, 0, 0, 0, 0, 0]]),
        "v2": ([[0, 1]], [[0] * 7]),
    }
    write_csd(csd_folder / "CMU_MOSEI_Labels.csd", "All Labels", labels)
    with pytest.warns(UserWarning, match="skipped 3 of") as caught:
        assert load(form="csd")["clip_id"][:] == ["v1[0]"]
    message = next(str(item.message) for item in caught if "skipped" in str(item.message))
    assert "v2: not in CMU_MOSEI_COVAREP.csd" in message
    assert "v1[1]: no word between 7.00 and 8.00 s" in message
    assert "v1[2]: expected finite labels" in message
    (csd_folder / "CMU_MOSEI_VisualFacet42.csd").rename(csd_folder / "mine.csd")
    with pytest.raises(
        FileNotFoundError, match=r"CMU_MOSEI_VisualFacet42….csd.*options vision_csd\..*CMU-MultimodalSDK"
    ):
        load(form="csd")
    assert len(load(form="csd", vision_csd=str(csd_folder / "mine.csd"))) == 1
    with pytest.raises(FileNotFoundError, match="as vision_csd"):
        load(form="csd", vision_csd=str(csd_folder / "nowhere.csd"))
    (csd_folder / "CMU_MOSEI_COVAREP_copy.csd").write_bytes(b"x")
    with pytest.raises(ValueError, match="Expected one CMU_MOSEI_COVAREP….csd, found .*audio_csd"):
        load(form="csd", vision_csd=str(csd_folder / "mine.csd"))


def test_means_over_words():
    words = np.array([[0.0, 1.0], [1.0, 2.0], [5.0, 6.0]])
    intervals = np.array([[0.0, 0.5], [0.5, 1.5], [1.5, 2.5]])
    means, broken = mean_of_words(words, intervals, np.array([[1.0], [3.0], [np.nan]]))
    # The step from 0.5 to 1.5 overlaps both words and counts in full in each.
    assert np.allclose(means, [[2.0], [1.5], [np.nan]], equal_nan=True)
    assert broken == 1
    # Touching is not overlapping.
    assert overlapping(intervals, 0.5, 1.5).tolist() == [False, True, False]


def test_sequence_of_segments_and_metadata(tmp_path):
    entries = {"v[1]": ([[3, 4]], [[3.0]]), "v[0]": ([[1, 2]], [[1.0]]), "v[10]": ([[5, 6]], [[5.0]])}
    path = write_csd(tmp_path / "a.csd", "aligned", entries, ["only"])
    with ComputationalSequence(path) as sequence:
        intervals, features = sequence.read("v")
        assert sequence.dimension_names == ["only"]
    assert features.ravel().tolist() == [1, 3, 5]
    assert intervals[:, 0].tolist() == [1, 3, 5]


def test_files_that_are_no_sequences(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.csd"
    for content in (b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(CsdError, match=r"a\.csd: expected an HDF5 file"):
            ComputationalSequence(path)
    whole = write_csd(
        tmp_path / "whole.csd", "root", {"v": ([[0, 1]] * 2000, np.random.default_rng(0).normal(size=(2000, 9)))}
    )
    path.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(CsdError, match="cut short"):
        ComputationalSequence(path)
    for make, message in (
        (lambda file: file.create_group("a") and file.create_group("b"), "expected one group"),
        (lambda file: file.create_group("root"), "expected 'data' in /root"),
        (lambda file: file.create_dataset("root", data=1), "expected a group at /root"),
    ):
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(CsdError, match=message):
            ComputationalSequence(path)


def test_hostile_sequences_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    secret = write_csd(tmp_path / "secret.csd", "root", {"v": ([[0, 1]], [[1.0]])})
    path = tmp_path / "a.csd"

    def refused(message, make):
        with h5py.File(path, "w") as file:
            group = file.create_group("root/data/v")
            make(file, group)
        with pytest.raises(CsdError, match=message), ComputationalSequence(path) as sequence:
            sequence.read("v")

    def with_intervals(add):
        def make(file, group):
            group["intervals"] = [[0.0, 1.0]]
            add(file, group)

        return make

    def link(file, group):
        group["features"] = h5py.ExternalLink(str(secret), "/root/data/v/features")

    def huge(file, group):
        group.create_dataset("features", shape=(2**40, 1), chunks=(1024, 1), dtype="f4")

    def elsewhere(file, group):
        group.create_dataset("features", shape=(1, 1), dtype="u1", external=[(str(secret), 0, 1)])

    def virtual(file, group):
        layout = h5py.VirtualLayout(shape=(1, 1), dtype="f8")
        layout[:] = h5py.VirtualSource(str(secret), "root/data/v/features", shape=(1, 1))
        group.create_virtual_dataset("features", layout)

    def records(file, group):
        group.create_dataset("features", data=np.zeros((1, 1), [("a", "f8")]))

    def too_many(file, group):
        group["features"] = [[1.0], [2.0]]

    refused("'features' in /root/data/v, found nothing or a link", with_intervals(link))
    refused("'features' in /root/data/v, found nothing", with_intervals(lambda file, group: None))
    refused("claims 4398046511104 bytes", with_intervals(huge))
    refused("lie in another file", with_intervals(elsewhere))
    refused("lie in another file", with_intervals(virtual))
    refused("expected numbers or text of rank 2", with_intervals(records))
    refused("a start and an end for each of 2 steps", with_intervals(too_many))


def test_without_h5py_the_message_says_what_to_install(load, csd_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="pip install h5py"):
        load(form="csd")


def test_mosi_has_sentiment_alone(load, tmp_path):
    pytest.importorskip("h5py")
    names = ("Opinion_Labels", "TimestampedWordVectors", "COVAREP", "Visual_Facet_42")
    for name, features in zip(names, ([[1.6]], [[1.0, 2.0]], [[3.0]], [[4.0]]), strict=True):
        write_csd(load.folder / f"CMU_MOSI_{name}.csd", name, {"v1": ([[0, 1]], features)})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        row = load(corpus="cmu_mosi", form="csd")[0]
    assert row["targets"] == pytest.approx([1.6])
    assert (row["label_raw"], row["text"]) == ("1.6", None)
    with pytest.raises(FileNotFoundError, match=r"mosei_senti_data\.pkl"):
        load(corpus="cmu_mosei", form="csd")
