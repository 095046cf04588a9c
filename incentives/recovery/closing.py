"""What must be there before a case is closed, so that every recovery is documented."""

from collections.abc import Mapping, Sequence

from incentives.recovery import steps

Missing = dict[str, str]
"""A field and, in plain words, what is missing there."""

CLOSING_OUTCOMES = ("recovered", "not_recovered", "unsalvageable", "no_action")


def missing_before(
    *,
    order: Sequence[str],
    optional: Sequence[str],
    taken: Mapping[str, str],
    severity: int,
    root_cause_from_severity: int,
    causes: int,
    approvals_pending: int,
) -> list[Missing]:
    """Return everything that is missing in a case itself; the steps that closing does are not among it."""
    found = [
        {"field": f"steps.{step}", "message": f"The step “{step}” was neither done nor skipped with a reason."}
        for step in steps.untaken(order, optional, taken)
        if step not in steps.BY_CLOSING
    ]
    if severity >= root_cause_from_severity and not causes:
        found.append({"field": "causes", "message": "A case of this severity needs a root cause."})
    if approvals_pending:
        found.append({"field": "approvals", "message": "Somebody is still to decide what may be given in this case."})
    return found


def missing_words(*, outcome: str, note: str | None, reason: str | None) -> list[Missing]:
    """Return everything that is missing in what is said when a case is closed."""
    found = []
    if outcome not in CLOSING_OUTCOMES:
        found.append({"field": "outcome", "message": f"Send one of {', '.join(CLOSING_OUTCOMES)}."})
    if not note:
        found.append({"field": "note", "message": "Say what happened and what was done about it."})
    if outcome == "unsalvageable" and not reason:
        found.append({"field": "reason", "message": "Say why nothing could be done."})
    return found
