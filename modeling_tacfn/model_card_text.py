# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""How a model card says a list, a number of things or a setting."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .results import markdown_table


def listed(names: Iterable[str]) -> str:
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def listing(values: Mapping) -> str:
    return ", ".join(f"`{name}` {shown(value)}" for name, value in values.items())


def settings_table(values: Mapping) -> str:
    rows = [[f"`{name}`", shown(value)] for name, value in values.items()]
    return markdown_table([["Setting", "Value"], ["---", "---"], *rows])


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def shown(value: Any) -> str:
    """A value as its file holds it; for none a word."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
