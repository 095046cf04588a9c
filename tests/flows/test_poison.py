"""One thing that cannot be dealt with holds up none of those behind it, and is not lost."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.flows import follow_up, respond
from incentives.flows.mend import name_trouble
from incentives.flows.respond import PUT_OFF, respond_due, respond_to
from incentives.kernel.errors import StorageUnavailable
from incentives.recovery.feedback_tables import feedback
from tests.flows.asked import asking
from tests.flows.reported import Open, change, giving, report, text_with
from tests.flows.shop import Shop, named


def fails_for(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, poison: Any, error: Exception) -> None:
    """Let a step fail for one row, which is the argument after the transaction and the core."""
    real = getattr(module, name)

    def step(*arguments: Any) -> Any:
        if arguments[2].id == poison:
            raise error
        return real(*arguments)

    monkeypatch.setattr(module, name, step)


def test_a_piece_that_the_database_is_always_too_busy_for_lets_the_others_pass(
    open_shop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop(text_with(giving()))
    poison, good = report(shop, 1), report(shop, 2)
    fails_for(monkeypatch, respond, "_act", poison, StorageUnavailable())
    assert respond_due(core=shop.core, limit=10) == 2
    stand = {row.id: (row.status, row.act_at) for row in shop.all(feedback)}
    assert stand[good][0] == "acted"
    assert stand[poison] == ("settling", shop.clock.now() + PUT_OFF)
    monkeypatch.undo()
    shop.later(seconds=PUT_OFF.total_seconds())
    assert respond_due(core=shop.core) == 1
    assert {row.status for row in shop.all(feedback)} == {"acted"}


def test_a_survey_that_stumbles_lets_the_others_go_out_and_is_tried_again(
    open_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = asking(open_shop)
    first, second = (asks.closed(customer=named(f"p{number}@example.com")) for number in range(2))
    asks.shop.later(hours=25)
    fails_for(monkeypatch, follow_up, "_verdict", asks.survey(first).id, KeyError("mistake"))
    assert asks.follow_up() == 1
    assert (asks.survey(first).status, asks.survey(second).status) == ("planned", "sent")
    monkeypatch.undo()
    assert asks.follow_up() == 0
    asks.shop.later(hours=1)
    assert asks.follow_up() == 1


def test_a_piece_that_no_rule_could_act_on_is_acted_on_once_somebody_has_seen_to_it(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    (done,) = respond_to(core=shop.core, feedback_ids=[report(shop, tags=("odd",))])
    assert (done.status, done.case_id) == ("waiting", None)
    change(shop, giving(), protocol={"issue_tag": "*"})
    again = name_trouble(core=shop.core, actor=shop.supervisor, feedback_id=done.feedback_id, issue_tag="odd")
    (done,) = respond_to(core=shop.core, feedback_ids=[again.id])
    assert done.status == "acted"
    assert done.issuance_id is not None
