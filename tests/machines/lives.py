"""All that may happen in a life, by its name: each verb of the engine is one of these."""

from collections.abc import Callable
from typing import Any

from tests.flows.shop import Shop
from tests.machines.life import LifeBase
from tests.machines.life_aftercare import Aftercare
from tests.machines.life_bulk import InBulk
from tests.machines.life_giving import Giving
from tests.machines.life_money import Money
from tests.machines.life_till import AtTheTill
from tests.machines.lives_catalog import lives_catalog


class Life(Giving, AtTheTill, Aftercare, Money, InBulk):
    """A shop that lives, with every verb."""


# How often each is done by dice, beside the others.
WEIGHTS = {
    "issue": 30,
    "issue_in_numbers": 3,
    "decide": 14,
    "withdraw_request": 2,
    "reveal": 2,
    "sweep": 2,
    "escalate": 2,
    "deliver": 2,
    "redeem": 16,
    "redeem_what_is_over": 3,
    "redeem_unknown": 1,
    "reserve": 10,
    "commit": 8,
    "hold_longer": 2,
    "release": 3,
    "tidy_holds": 1,
    "annul": 4,
    "reverse": 8,
    "void": 4,
    "undo": 3,
    "extend": 3,
    "freeze": 3,
    "unfreeze": 4,
    "resend": 2,
    "reissue": 4,
    "adjust": 5,
    "review": 4,
    "propose_budget_change": 5,
    "decide_budget_request": 6,
    "withdraw_budget_request": 1,
    "carry_over": 2,
    "alert": 1,
    "set_switch": 1,
    "list_value": 1,
    "take_off_list": 2,
    "change_catalog": 2,
    "delegate": 2,
    "load_job": 4,
    "check_jobs": 6,
    "run_jobs": 6,
    "start_job": 4,
    "stop_job": 1,
    "retry_job": 1,
    "lift_switch": 8,
    "wait": 6,
    "time_passes": 2,
}
VERBS = tuple(WEIGHTS)


def opened(database_url: str, **watched: int) -> Life:
    """Return a life in a new shop."""
    return Life(Shop.opened(database_url, lives_catalog()), **watched)


def one_by_dice(life: Life) -> str:
    """Do whatever the dice of a life say, and return its name."""
    verb = life.dice.choices(VERBS, weights=list(WEIGHTS.values()))[0]
    deed: Callable[[], Any] = getattr(life, verb)
    deed()
    return verb


__all__ = ["VERBS", "WEIGHTS", "Life", "LifeBase", "one_by_dice", "opened"]
