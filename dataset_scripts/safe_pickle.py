# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Read a pickle of numbers without executing it.

Unpickling is running a program that somebody else wrote. Here its instructions are read with `pickletools`, and the few that
plain data and numpy arrays need are carried out one by one: no name in the file is ever imported, nothing in it is called.
Names that stand for numpy's own parts lead to functions of this file, which check what is claimed before an array is made.
"""

import math
import os
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


# Feature files hold a few large arrays and some ten thousand ids; so many instructions are no data but an attack on memory.
MAX_INSTRUCTIONS = 5_000_000
# How numpy writes a type: booleans, integers, floats; strings of a known length; Python objects.
_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_STRINGS = re.compile(r"[SU][1-9]\d{0,6}")
_MARK = object()


class UnreadablePickleError(ValueError):
    """A pickle that is damaged, or holds something else than numbers, text, plain containers and numpy arrays of them."""


def read_pickle(path: str | os.PathLike) -> Any:
    """Read numbers, text, lists, tuples, dictionaries and numpy arrays of numbers or text from a pickle.

    Pickles of Python 2 are read as well: their strings come as text, byte for byte (Latin-1).

    Args:
        path (`str` or `os.PathLike`): a pickle of any protocol up to 5, not compressed.

    Returns:
        `Any`: what was pickled. Arrays are read-only.

    Raises:
        UnreadablePickleError: If the file is cut short, names anything else than numpy's arrays, or claims an array larger
            than what it holds. Nothing of it has been executed then.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            return _interpret(_BoundedFile(file, path.stat().st_size))
        except UnreadablePickleError as error:
            raise UnreadablePickleError(f"{path}: {error}") from None
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, MemoryError) as error:
            raise UnreadablePickleError(
                f"{path}: expected a pickle, but it is cut short, damaged, or something else ({error}). Get another copy."
            ) from error


class _BoundedFile:
    """Never reads more than there is: a length in the file may claim any number of bytes, and memory is taken first."""

    def __init__(self, file, size: int):
        self.file, self.size = file, size
        self.tell, self.readline = file.tell, file.readline

    def read(self, length: int) -> bytes:
        if not 0 <= length <= self.size - self.file.tell():
            raise UnreadablePickleError(
                f"expected {length} more bytes, but {self.size - self.file.tell()} are left. The file is cut short; get "
                "another copy."
            )
        return self.file.read(length)


class _Name:
    """A global that the file names, not imported."""

    def __init__(self, module: str, name: str):
        self.text = f"{module}.{name}"
        if self.text not in _CALLABLE and self.text not in _ONLY_NAMED:
            raise UnreadablePickleError(
                f"refused, because it names {self.text}. Expected numbers, text, lists, tuples, dictionaries and numpy arrays "
                "only; unpickling this file would execute code. Nothing was executed."
            )


class _Dtype:
    """What the file says of an array's type: complete once its state has been read."""

    def __init__(self, description: str, *options: Any):
        self.description = _text(description)
        if not (_NUMBERS.fullmatch(self.description) or _STRINGS.fullmatch(self.description) or self.is_object):
            raise UnreadablePickleError(
                f"refused an array of type {self.description!r}: expected numbers or text, such as f8 or S11."
            )
        self.dtype = np.dtype("O" if self.is_object else self.description)

    @property
    def is_object(self) -> bool:
        return self.description in ("O", "O8", "O4")

    def set_state(self, state: tuple) -> None:
        byte_order, subarray, names, fields = _text(state[1]), *state[2:5]
        if byte_order not in ("<", ">", "|", "=") or subarray is not None or names is not None or fields is not None:
            raise UnreadablePickleError("refused an array of records or subarrays: expected numbers or text.")
        self.dtype = self.dtype.newbyteorder(byte_order)


class _Array:
    """An array that the file announces and then fills."""

    def __init__(self, kind: Any, *shape_and_code: Any):
        if not isinstance(kind, _Name) or kind.text != "numpy.ndarray":
            raise UnreadablePickleError("refused an array that is none of numpy's own.")
        self.array: np.ndarray | None = None

    def set_state(self, state: tuple) -> None:
        shape, dtype, is_fortran, content = state[-4:]
        self.array = _array(shape, dtype, "F" if is_fortran else "C", content)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise UnreadablePickleError(f"expected text, received {type(value).__name__}.")
    return value


def _bytes(value: Any) -> bytes | bytearray:
    # A string of Python 2.
    value = value.encode("latin-1") if isinstance(value, str) else value
    if not isinstance(value, (bytes, bytearray)):
        raise UnreadablePickleError(f"expected the bytes of an array, received {type(value).__name__}.")
    return value


def _array(shape: Any, dtype: Any, order: str, content: Any) -> np.ndarray:
    """An array whose claimed shape is what the file holds."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or len(shape) > 32:
        raise UnreadablePickleError("expected the shape and type of an array.")
    if not all(type(length) is int and 0 <= length < 2**48 for length in shape):
        raise UnreadablePickleError(f"expected the shape of an array, received {shape}.")
    size = math.prod(shape)
    if dtype.is_object:
        if not isinstance(content, list):
            raise UnreadablePickleError("expected the items of an array as a list.")
        _check_size(shape, size, len(content), "items")
        flat = np.empty(size, object)
        for index, item in enumerate(content):
            flat[index] = item
    else:
        content = _bytes(content)
        _check_size(shape, size * dtype.dtype.itemsize, len(content), "bytes")
        flat = np.frombuffer(content, dtype.dtype) if content else np.empty(size, dtype.dtype)
    flat.flags.writeable = False
    return flat.reshape(shape, order=order)


def _check_size(shape: tuple, claimed: int, held: int, unit: str) -> None:
    if claimed != held:
        raise UnreadablePickleError(
            f"refused an array that claims shape {shape}, which is {claimed} {unit}, where the file holds {held}."
        )


def _array_from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """How protocol 5 writes an array."""
    return _array(shape, dtype, "F" if order == "F" else "C", content)


def _scalar(dtype: Any, content: Any) -> Any:
    if isinstance(dtype, _Dtype) and dtype.is_object:
        raise UnreadablePickleError("refused a numpy scalar that is a Python object.")
    return _array((), dtype, "C", content).item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise UnreadablePickleError(f"refused to encode as {encoding!r}: expected bytes written as latin1.")
    return text.encode("latin-1")


def _empty_bytes() -> bytes:
    return b""


_CALLABLE: dict[str, Callable] = {
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "builtins.bytes": _empty_bytes,
    "__builtin__.bytes": _empty_bytes,
}
for _module in ("numpy.core", "numpy._core"):
    _CALLABLE[f"{_module}.multiarray._reconstruct"] = _Array
    _CALLABLE[f"{_module}.multiarray.scalar"] = _scalar
    _CALLABLE[f"{_module}.numeric._frombuffer"] = _array_from_buffer
_ONLY_NAMED = {"numpy.ndarray"}

# Instructions whose argument is the value.
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Stack(list):
    def take(self, count: int) -> list:
        """The last `count` values, taken off."""
        values = self[len(self) - count :]
        if len(values) != count or any(value is _MARK for value in values):
            raise IndexError("an instruction without its values")
        del self[len(self) - count :]
        return values

    def take_to_mark(self) -> list:
        """All values since the last mark, taken off with it."""
        position = len(self) - 1
        while self[position] is not _MARK:  # an IndexError where there is none
            position -= 1
        values = self[position + 1 :]
        del self[position:]
        return values


def _interpret(file: _BoundedFile) -> Any:
    stack, memo = _Stack(), {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > MAX_INSTRUCTIONS:
            raise UnreadablePickleError(f"refused, because it has more than {MAX_INSTRUCTIONS} instructions.")
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(_filled(memo[argument]))
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            (result,) = stack
            if result is _MARK or isinstance(result, (_Name, _Dtype, _Array)):
                raise UnreadablePickleError("expected data, received the name of a part of numpy.")
            return result
        else:
            _carry_out(name, argument, stack)
    raise UnreadablePickleError("it ends without saying so.")


def _carry_out(name: str, argument: Any, stack: _Stack) -> None:
    """An instruction that makes something of what is on the stack."""
    if name in _TUPLES:
        stack.append(tuple(stack.take(_TUPLES[name])))
    elif name == "TUPLE":
        stack.append(tuple(stack.take_to_mark()))
    elif name in ("EMPTY_LIST", "LIST"):
        stack.append(stack.take_to_mark() if name == "LIST" else [])
    elif name in ("APPEND", "APPENDS"):
        items = stack.take(1) if name == "APPEND" else stack.take_to_mark()
        _expected(list, stack[-1]).extend(items)
    elif name in ("EMPTY_DICT", "DICT"):
        items = stack.take_to_mark() if name == "DICT" else []
        stack.append({})
        _set_items(stack[-1], items)
    elif name in ("SETITEM", "SETITEMS"):
        items = stack.take(2) if name == "SETITEM" else stack.take_to_mark()
        _set_items(_expected(dict, stack[-1]), items)
    elif name == "GLOBAL":
        stack.append(_Name(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        stack.append(_Name(*map(_text, stack.take(2))))
    elif name == "REDUCE":
        function, arguments = stack.take(2)
        if not isinstance(function, _Name) or function.text not in _CALLABLE:
            raise UnreadablePickleError(
                "refused to call something that is no part of a numpy array. Nothing was executed."
            )
        stack.append(_CALLABLE[function.text](*_expected(tuple, arguments)))
    elif name == "BUILD":
        (state,) = stack.take(1)
        if not isinstance(stack[-1], (_Array, _Dtype)):
            raise UnreadablePickleError("refused to change something that is no numpy array.")
        stack[-1].set_state(_expected(tuple, state))
        stack[-1] = _filled(stack[-1])
    elif name in ("POP", "POP_MARK"):
        stack.take(1) if name == "POP" else stack.take_to_mark()
    else:
        raise UnreadablePickleError(
            f"refused the instruction {name}: expected numbers, text, lists, tuples, dictionaries and numpy arrays only."
        )


def _filled(value: Any) -> Any:
    """The array itself, once it is there."""
    if isinstance(value, _Array):
        if value.array is None:
            raise UnreadablePickleError("refused an array that is part of itself.")
        return value.array
    return value


def _expected(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise UnreadablePickleError(f"expected a {kind.__name__}, received {type(value).__name__}.")
    return value


def _set_items(target: dict, items: list) -> None:
    if len(items) % 2:
        raise UnreadablePickleError("expected a value for every key of a dictionary.")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Other keys may take forever to hash.
        if not isinstance(key, (str, bytes, int, float)):
            raise UnreadablePickleError(
                f"expected text or numbers as keys of a dictionary, received {type(key).__name__}."
            )
        target[key] = value
