"""Makes what the requests to a peer need, inside the peer's own environment: one JSON line asked, one answered.

These files are run by the peers' interpreters, which know nothing of this repository but this folder.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO


def take_output() -> TextIO:
    """Keep standard output for answers; whatever else the peer prints goes where its errors go."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(answers: TextIO, facts: Mapping[str, Any], makers: Mapping[str, Callable[[int], list[Any]]]) -> None:
    """Tell the facts, then make as many of what is asked for as are asked for, until nobody asks."""
    _say(answers, facts)
    for line in sys.stdin:
        asked = json.loads(line)
        _say(answers, makers[asked["make"]](asked["count"]))


def _say(answers: TextIO, what: object) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


class FromModels:
    """In place of Django's MIGRATION_MODULES: no application has migrations, so the tables are made from the models.

    They are the same tables, with all indexes that matter here, in a tenth of the time; pretix's own tests do it too.
    """

    def __contains__(self, _name: object) -> bool:
        return True

    def __getitem__(self, _name: str) -> None:
        return None
