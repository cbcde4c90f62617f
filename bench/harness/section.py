# SPDX-License-Identifier: MIT
"""A part of the report. It measures into raw objects, which are those that the
programs print with a few words of ours added, and makes its text from nothing
but them."""
from typing import Callable, NamedTuple

from .measure import Bench


class Section(NamedTuple):
    name: str
    title: str
    measure: Callable[[Bench, str], list[dict]]
    render: Callable[[list[dict]], str]


def where(raw: list[dict], **words: object) -> list[dict]:
    """The objects that have these members."""
    return [one for one in raw
            if all(one.get(key) == value for key, value in words.items())]


def values(raw: list[dict], key: str) -> list:
    """What the member is in all of them, each once, in order."""
    return list(dict.fromkeys(one[key] for one in raw))
