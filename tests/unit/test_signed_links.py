"""What is signed for one purpose is nothing for any other: no link opens what another link is for."""

import ast
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels import feedback_form
from channels.feedback_form import Page
from incentives.kernel.core import Core
from incentives.kernel.keys import KeyRing
from incentives.recovery import links, shared_links
from incentives.vouchers import codes
from tests.world import START, make_core

HOUSE = Path(__file__).resolve().parents[2]
RING = KeyRing((("new", b"n" * 32), ("old", b"o" * 32)))
ABOUT = uuid.UUID(int=7)


class _Form:
    subject_id = ABOUT


@pytest.fixture(scope="module")
def core() -> Core:
    return make_core("sqlite:///unused.db")


def made(core: Core) -> dict[str, str]:
    """Return a token of each purpose, all about the same id and with the same keys."""
    ring = core.keys.links
    form: Any = _Form()
    return {
        "voucher": codes.token_of(ring, ABOUT),
        **{
            f"feedback on a {kind}": links.token_of(ring, kind, ABOUT)
            for kind in (links.FORM, links.VOUCHER, links.SURVEY)
        },
        "share": shared_links.token_of(ring, ABOUT),
        "page": feedback_form.token_of(core, form, Page(core.ids.new(START), START)),
    }


def readers(core: Core) -> dict[str, Callable[[str], Any]]:
    """Return who reads a token, by what it is for."""
    ring = core.keys.links
    form: Any = _Form()
    return {
        "voucher": lambda token: codes.voucher_of_token(ring, token),
        "feedback": lambda token: links.subject_of(ring, token),
        "share": lambda token: shared_links.share_of(ring, token),
        "page": lambda token: feedback_form.page_of(core, form, token),
    }


def test_a_token_is_read_by_whom_it_is_for_and_nobody_else(core: Core) -> None:
    """Each of six tokens has one reader of four."""
    read_by = {
        name: [reader for reader, read in readers(core).items() if read(token) is not None]
        for name, token in made(core).items()
    }
    assert read_by == {
        "voucher": ["voucher"],
        "feedback on a form": ["feedback"],
        "feedback on a voucher": ["feedback"],
        "feedback on a survey": ["feedback"],
        "share": ["share"],
        "page": ["page"],
    }


def test_a_feedback_link_says_what_it_is_about(core: Core) -> None:
    """A form's link is no survey's, though both are about the same id."""
    ring = core.keys.links
    kinds = (links.FORM, links.VOUCHER, links.SURVEY)
    assert [links.subject_of(ring, links.token_of(ring, kind, ABOUT)) for kind in kinds] == [
        (kind, ABOUT) for kind in kinds
    ]


def test_a_key_that_was_retired_opens_nothing() -> None:
    """What an old key signed is read while the ring holds it, and not after."""
    old = KeyRing((("old", b"o" * 32),))
    token = codes.token_of(old, ABOUT)
    assert codes.voucher_of_token(RING, token) == ABOUT
    assert codes.voucher_of_token(KeyRing((("new", b"n" * 32),)), token) is None


def test_every_purpose_has_a_salt_of_its_own() -> None:
    """No two modules sign under the same name."""
    salts = [
        node.value.value
        for folder in ("incentives", "channels", "admin", "api")
        for path in sorted((HOUSE / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id.endswith("_SALT") for each in node.targets)
        and isinstance(node.value, ast.Constant)
    ]
    assert len(salts) >= 5
    assert len(set(salts)) == len(salts)
