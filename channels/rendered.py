"""What every message is made of when it goes out: an email or an SMS, the templates, text that cannot break a line."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


@dataclass(frozen=True, slots=True)
class RenderedEmail:
    """One email: a subject of one line and the same message twice."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class RenderedSms:
    """One SMS and what it costs: its encoding, and how many parts carry it (at most two)."""

    text: str
    segments: int
    encoding: str


def one_line(text: str) -> str:
    """Return the text with every run of white space as one space and no control characters.

    A name with a line break in it must not be able to begin a line of its own, let alone a header.
    """
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


@cache
def templates() -> Environment:
    """Return the templates of messages: HTML escapes what it is given, and a misspelt name is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / "messages"),
        autoescape=select_autoescape(enabled_extensions=("html",), default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
