"""Pickles are read as data: whatever would run code, or take memory that the file does not hold, is refused."""

import io
import os
import pickle
import struct

import numpy as np
import pytest

from dataset_scripts.safe_pickle import UnreadablePickleError, read_pickle


@pytest.fixture
def read(tmp_path):
    def read(content: bytes):
        path = tmp_path / "file.pkl"
        path.write_bytes(content)
        return read_pickle(path)

    return read


RANDOM = np.random.default_rng(0)
DATA = {
    "train": {
        "text": RANDOM.normal(size=(3, 4, 5)).astype(np.float32),
        "turned": np.asfortranarray(RANDOM.normal(size=(3, 4))),
        "swapped": np.arange(5, dtype=">i8"),
        "ids": np.array([["a", "0.5"], ["\xe9", "2"]]),
        "bytes": np.array([[b"a\x00b", b"0.5"]]),
        "objects": np.array([["video", 0.5], [b"x", None]], dtype=object),
        "none": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
    },
    "plain": [1, -(2**70), 1.5, None, True, "text\n\xe9", b"bytes\xff", (), (1,), (1, 2, 3, [4])],
    "scalar": np.float64(2.5),
    3: np.int64(7),
}
DATA["again"] = DATA["train"]


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    return one == other


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_data_of_every_protocol(read, protocol):
    result = read(pickle.dumps(DATA, protocol))
    assert same(result, DATA)
    assert result["again"] is result["train"]
    assert result["train"]["text"].flags.c_contiguous
    assert result["train"]["turned"].flags.f_contiguous


def test_data_of_python_2(read):
    """Protocol 2 as Python 2 and numpy 1 wrote it: strings are bytes, also those that hold the numbers."""
    numbers = np.array([[1.0, -np.inf], [200.0, 3.5]])
    raw = numbers.tobytes()
    content = (
        b"\x80\x02}q\x00U\x05audioq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
        b"U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x02\x86q\x08cnumpy\ndtype\nq\x09U\x02f8q\x0aK\x00K\x01\x87q\x0bRq\x0c"
        b"(K\x03U\x01<q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89T"
        + struct.pack("<i", len(raw))
        + raw
        + b"q\x0ftq\x10bs."
    )
    assert same(pickle.loads(content, encoding="latin1"), {"audio": numbers})
    assert same(read(content), {"audio": numbers})


class Reduces:
    """Something that pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, r"(posix|nt)\.system"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (getattr, "getattr"),
        (np.load, r"numpy\.load"),
        (io.open, r"io\.open|_io\.open"),
        (pickle.loads, r"pickle\.loads"),
    ],
)
def test_a_function_is_refused_by_its_name(read, tmp_path, function, name, protocol):
    proof = tmp_path / "executed"
    for attack in (Reduces(function, f"touch {proof}"), {"train": [(1, Reduces(function, f"touch {proof}"))]}):
        with pytest.raises(UnreadablePickleError, match=f"file.pkl: refused, because it names .*{name}"):
            read(pickle.dumps(attack, protocol))
    assert not proof.exists()


def test_a_function_hidden_in_an_array_or_a_type_is_refused(read):
    hidden = np.empty(2, object)
    hidden[:] = [1, Reduces(os.system, "true")]
    with pytest.raises(UnreadablePickleError, match="system"):
        read(pickle.dumps({"train": hidden}))
    for harmless in (np.zeros(2, [("a", "f8")]), np.zeros(2, "M8[s]"), np.zeros(2, "V3"), np.zeros(2, "c16")):
        with pytest.raises(UnreadablePickleError, match="expected numbers or text"):
            read(pickle.dumps(harmless))


def test_nested_reduces_are_refused(read):
    # A call whose function is the result of another, and one whose arguments are none.
    with pytest.raises(UnreadablePickleError, match="refused to call"):
        read(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R(tR.")
    with pytest.raises(UnreadablePickleError, match="refused to call"):
        read(b"\x80\x02cnumpy\nndarray\n)R.")
    with pytest.raises(UnreadablePickleError, match="expected a tuple"):
        read(b"\x80\x02cnumpy\ndtype\n]R.")
    with pytest.raises(UnreadablePickleError, match="refused to encode as 'zip'"):
        read(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.")


@pytest.mark.parametrize(
    "content",
    [
        b"(S'a'\nios\nsystem\n.",  # INST
        b"(cnumpy\nndarray\no.",  # OBJ
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02P1\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x04\x8f.",  # a set
    ],
)
def test_other_instructions_are_refused(read, content):
    with pytest.raises(UnreadablePickleError, match="refused the instruction"):
        read(content)


def test_state_is_set_on_arrays_only(read):
    with pytest.raises(UnreadablePickleError, match="refused to change"):
        read(b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01s\x85b.")


def claims(shape, kind="f8", content=b"\0" * 16):
    """An array of two numbers that claims to be of another shape."""
    honest = pickle.dumps(np.zeros(2), 2)
    start = honest.index(b"(K\x01K\x02\x85")
    return honest[: start + 3] + pickle.dumps(shape, 2)[2:-1] + honest[start + 6 :]


@pytest.mark.parametrize("shape", [(10**12,), (2**31, 2**31), (3,), (1,), (2, 0), (-2,), (2.0,), ("2",), [2]])
def test_an_array_larger_than_the_file_is_refused(read, shape):
    assert read(claims((2, 1))).shape == (2, 1)
    with pytest.raises(UnreadablePickleError, match="claims shape|shape and type|shape of an array"):
        read(claims(shape))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x.",  # bytes
        b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x.",  # a bytearray
        b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"x.",  # text
        b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",  # a whole number
    ],
)
def test_a_length_beyond_the_file_is_refused_before_memory_is_taken(read, content):
    with pytest.raises(UnreadablePickleError, match="file.pkl: expected .* more bytes, but 2 are left"):
        read(content)


def test_places_in_the_memory_of_the_unpickler_cost_nothing(read):
    assert read(b"\x80\x02K\x05r\xff\xff\xff\x7f.") == 5


def test_keys_that_take_forever_to_hash_are_refused(read):
    nested = b"\x80\x02}K\x00" + b"\x85q\x00h\x00\x86" * 60 + b"K\x01s."
    with pytest.raises(UnreadablePickleError, match="keys of a dictionary, received tuple"):
        read(nested)


def test_too_many_instructions_are_refused(read, monkeypatch):
    monkeypatch.setattr("dataset_scripts.safe_pickle.MAX_INSTRUCTIONS", 100)
    with pytest.raises(UnreadablePickleError, match="more than 100 instructions"):
        read(pickle.dumps(list(range(200))))


def test_an_array_in_itself_is_refused(read):
    circle = np.empty(1, object)
    circle[0] = circle
    with pytest.raises(UnreadablePickleError, match="part of itself"):
        read(pickle.dumps(circle))


def test_every_cut_is_an_error(read):
    content = pickle.dumps(DATA, 2)
    for length in [*range(0, len(content), 7), len(content) - 1]:
        with pytest.raises(UnreadablePickleError, match="file.pkl: expected"):
            read(content[:length])


def test_what_is_no_pickle_is_said(read):
    for content in (b"", b"\x89PNG\r\n", b"plain text\n", b"0.", b"\x80\x02.", b"(.", b"\x80\x02cnumpy\nndarray\n."):
        with pytest.raises(UnreadablePickleError, match="file.pkl: expected|file.pkl: refused"):
            read(content)


def test_damaged_bytes_never_do_more_than_fail(read):
    """Any byte may be any other: what is read is data, or an error of our own."""
    content = pickle.dumps({"a": np.arange(3.0), "b": ["x", (1, 2)]}, 2)
    generator = np.random.default_rng(0)
    failures = 0
    for _ in range(500):
        damaged = bytearray(content)
        for position in generator.integers(len(content), size=3):
            damaged[position] = generator.integers(256)
        try:
            read(bytes(damaged))
        except UnreadablePickleError:
            failures += 1
    assert failures > 250
