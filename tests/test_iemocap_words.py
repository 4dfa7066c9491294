"""Word-level feature pickles: IEMOCAP's four yes/no tasks, and what all such files share."""

import pickle
import warnings

import numpy as np
import pytest

from dataset_scripts import corpus_builder, load_corpus, published_split_indices, split_indices
from dataset_scripts import iemocap_words as iemocap_words_module
from dataset_scripts.iemocap_words import EMOTIONS
from dataset_scripts.word_features import without_padding


def one_hot(answers):
    """Pairs no/yes, `(clips, 4, 2)`."""
    return np.stack([1 - np.array(answers), answers], axis=-1).astype(float)


def side(generator, answers, steps=(4, 4, 4)):
    sizes = {"text": 6, "audio": 3, "vision": 2}
    arrays = {
        name: generator.normal(size=(len(answers), length, size))
        for (name, size), length in zip(sizes.items(), steps, strict=True)
    }
    return arrays | {"labels": one_hot(answers)}


@pytest.fixture
def content():
    generator = np.random.default_rng(0)
    yes = np.eye(4, dtype=int)
    return {
        "train": side(generator, yes[[0, 1, 2]]),
        "valid": side(generator, yes[[3]]),
        "test": side(generator, yes[[1, 0]]),
    }


@pytest.fixture
def load(tmp_path):
    def load(content, name="iemocap_data.pkl", **options):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "iemocap_words: its files do not say who speaks")
            return load_corpus("iemocap_words", folder, cache_dir=tmp_path / "cache", **options)

    return load


def test_rows(load, content):
    dataset = load(content)
    assert dataset["clip_id"][:] == [
        "train_00000",
        "train_00001",
        "train_00002",
        "validation_00000",
        "test_00000",
        "test_00001",
    ]
    assert [EMOTIONS[label] for label in dataset["label"]] == ["neutral", "happy", "sad", "angry", "happy", "neutral"]
    assert dataset["targets"][:] == np.eye(4)[[0, 1, 2, 3, 1, 0]].tolist()
    assert set(dataset["speaker_id"]) == set(dataset["fold"]) == {None}
    for name in ("text", "audio", "vision"):
        expected = [*content["train"][name], *content["valid"][name], *content["test"][name]]
        found = [row[name] for row in dataset["features"]]
        assert np.allclose(found, expected, atol=1e-6)
    assert published_split_indices(dataset) == {"train": [0, 1, 2], "validation": [3], "test": [4, 5]}


def test_unknown_speakers_are_said_and_cannot_be_split(load, content, tmp_path):
    dataset = load(content)
    with pytest.warns(UserWarning, match="do not say who speaks, so folds by speaker are impossible"):
        corpus_builder("iemocap_words")(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="no speaker id|without a fold"):
        split_indices(dataset, 0)


def test_several_answers_are_no_single_label(load, content):
    content["valid"]["labels"] = one_hot([[1, 0, 0, 1]])
    row = load(content)[3]
    assert (row["label"], row["label_raw"], row["targets"]) == (None, "neutral angry", [1, 0, 0, 1])


def test_infinite_numbers_are_counted_and_read_as_zero(load, content):
    content["test"]["audio"][1, 2, :2] = -np.inf
    content["train"]["vision"][0, 0, 0] = np.nan
    with pytest.warns(UserWarning, match="read as 0.*: 2 in audio, 1 in vision"):
        dataset = load(content)
    assert dataset[5]["features"]["audio"][2][:2] == [0, 0]
    assert dataset[0]["features"]["vision"][0][0] == 0
    assert np.isfinite(dataset[5]["features"]["audio"]).all()


def test_unaligned_files_have_a_length_for_each_modality(load, content):
    generator = np.random.default_rng(1)
    content = {name: side(generator, np.eye(4, dtype=int), steps=(2, 7, 5)) for name in content}
    features = load(content, "iemocap_data_noalign.pkl", form="unaligned")[0]["features"]
    assert [len(features[name]) for name in ("text", "audio", "vision")] == [2, 7, 5]
    with pytest.raises(ValueError, match="form to be one of aligned, unaligned, received 'csd'"):
        load(content, form="csd")


def test_padding_may_be_removed(load, content):
    content["test"]["text"][0, [0, 3]] = 0
    assert len(load(content)[4]["features"]["text"]) == 4
    features = load(content, padding="removed")[4]["features"]
    assert np.allclose(features["text"], content["test"]["text"][0, 1:3], atol=1e-6)
    assert len(features["audio"]) == 4


def test_removing_padding_leaves_a_step():
    steps = np.array([[0, 0], [1, 0], [0, 0], [0, 2], [0, 0]])
    assert without_padding(steps).tolist() == [[1, 0], [0, 0], [0, 2]]
    assert without_padding(np.zeros((3, 2))).tolist() == [[0, 0]]


def test_several_processes_write_the_same_table(load, content, tmp_path):
    alone = load(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shared = load_corpus("iemocap_words", tmp_path / "data", cache_dir=tmp_path / "other", num_proc=2)
    assert alone.to_dict() == shared.to_dict()


def test_the_order_of_the_emotions_is_checked_by_their_number(load, content, monkeypatch, recwarn):
    monkeypatch.setattr(iemocap_words_module, "PUBLISHED_TEST_CLIPS", [1, 1, 0, 0])
    load(content)
    assert not [item for item in recwarn if "order" in str(item.message)]
    content["test"]["labels"] = content["test"]["labels"][:, ::-1]
    with pytest.warns(UserWarning, match=r"expected \[1, 1, 0, 0\] test clips.*found \[0, 0, 1, 1\].*another order"):
        load(content)


def test_damaged_labels_are_skipped_and_foreign_ones_refused(load, content):
    content["train"]["labels"][1, 2] = [1, 1]
    with pytest.warns(UserWarning, match=r"skipped 1 of.*train, clip 1: expected four pairs no/yes"):
        assert len(load(content)) == 5
    content["valid"]["labels"] = np.zeros((1, 1, 1))
    with pytest.raises(ValueError, match=r"labels of shape \(clips, 4, 2\), received \(1, 1, 1\)"):
        load(content)


def test_files_of_another_form_are_refused(load, content):
    with pytest.raises(
        ValueError, match=r"expected a dictionary with train, valid and test.*received the keys \['train'\]"
    ):
        load({"train": content["train"]})
    with pytest.raises(ValueError, match="received list"):
        load([1, 2])
    with pytest.raises(ValueError, match="test has no text, audio, vision, labels"):
        load(content | {"test": []})
    with pytest.raises(ValueError, match="test has no audio"):
        load(content | {"test": {key: value for key, value in content["test"].items() if key != "audio"}})
    for key, wrong, message in (
        ("text", np.zeros((2, 3)), r"text of shape \(clips, steps, size\), received \(2, 3\)"),
        ("text", np.array([["a"]]), "text as an array of numbers, received type <U1"),
        ("text", "words", "text as an array of numbers, received str"),
        ("vision", np.zeros((3, 4, 2)), "as many clips, received .*'vision': 3"),
    ):
        with pytest.raises(ValueError, match=message):
            load(content | {"test": content["test"] | {key: wrong}})


def test_hostile_and_damaged_files_are_refused(load, content, tmp_path):
    class Attack:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    with pytest.raises(ValueError, match=r"iemocap_data\.pkl: refused, because it names (builtins|__builtin__)\.exec"):
        load({**content, "valid": Attack()})
    assert not (tmp_path / "executed").exists()
    with pytest.raises(ValueError, match=r"iemocap_data\.pkl: expected"):
        load(pickle.dumps(content, 2)[:-100])
    with pytest.raises(FileNotFoundError, match="the file is empty"):
        load(b"")


def test_a_folder_without_the_file_says_which(tmp_path):
    (tmp_path / "iemocap.txt").write_text("x")
    with pytest.raises(
        FileNotFoundError, match=r"Expected iemocap_data\.pkl.*found iemocap\.txt.*Multimodal-Transformer"
    ):
        load_corpus("iemocap_words", tmp_path, cache_dir=tmp_path / "cache")
