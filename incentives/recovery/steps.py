"""The steps of a protocol: which comes next, what may be left out, and what state they leave a case in."""

from collections.abc import Mapping, Sequence

DONE, SKIPPED = "done", "skipped"

# What a case is called once a step is done; "fix" and "resolve", like "review" and "gather", are two ways to say it.
STATES: Mapping[str, str] = {
    "gather": "gathered",
    "apologize": "apologized",
    "review": "reviewed",
    "fix": "fixed",
    "resolve": "fixed",
    "follow_up": "followed_up",
    "survey": "surveyed",
    "document": "documented",
}

# The clock that a step stops, besides that of the first contact.
CLOCK_OF_STEP: Mapping[str, str] = {"apologize": "apology", "fix": "fix", "resolve": "fix"}

# Closing does these: what is written then documents the case, and asking again is planned then.
BY_CLOSING = ("document", "survey")


def next_step(steps: Sequence[str], taken: Mapping[str, str]) -> str | None:
    """Return the first step that was neither done nor skipped, or None when there is none."""
    return next((step for step in steps if step not in taken), None)


def comes_first(steps: Sequence[str], optional: Sequence[str], taken: Mapping[str, str], step: str) -> str | None:
    """Return the step that must be done or skipped before this one, or None; an optional one need not be."""
    before = steps[: steps.index(step)]
    return next((each for each in before if each not in taken and each not in optional), None)


def untaken(steps: Sequence[str], optional: Sequence[str], taken: Mapping[str, str]) -> tuple[str, ...]:
    """Return the mandatory steps that were neither done nor skipped, in order."""
    return tuple(step for step in steps if step not in taken and step not in optional)


def state(
    *, status: str, outcome: str | None, round_number: int, steps: Sequence[str], taken: Mapping[str, str]
) -> str:
    """Return the state that a case is shown in: its outcome once it is closed, else that of the last step done."""
    if status == "closed":
        return "unrecoverable" if outcome == "unsalvageable" else "merged" if outcome == "merged" else "closed"
    done = [step for step in (*steps, *(each for each in taken if each not in steps)) if taken.get(step) == DONE]
    if done:
        return STATES.get(done[-1], done[-1])
    return "reopened" if round_number > 1 else "open"
