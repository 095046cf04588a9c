"""What is done in the house as the audit trail names it, offered as choices: nobody knows such names by heart."""

from admin import words

# The kinds of things as records name them, what people call them, and what is done to them most often.
_KINDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "voucher",
        "Vouchers",
        ("issued", "revealed", "reserved", "redeemed", "resent", "reissued", "extended", "adjusted", "frozen",
         "unfrozen", "voided", "expired"),
    ),
    ("redemption", "Redemptions undone", ("annulled", "reversed")),
    ("reservation", "Holds of tills", ("extended", "released", "lapsed")),
    ("approval", "Approvals", ("requested", "agreed", "granted", "declined", "withdrawn", "escalated", "expired")),
    ("delegation", "Standing in", ("created", "revoked")),
    ("budget", "Budgets", ("alerted", "carry_over", "taken_back")),
    ("catalog", "The catalog", ("proposed", "approved", "scheduled", "in_force", "withdrawn")),
    ("switch", "Switches", ("set", "lifted")),
    ("review", "Reviews of abuse", ("opened",)),
    ("abuse", "Signs of abuse", ()),
    ("list", "Lists", ("added", "removed")),
    ("bulk", "Lists given to many", ()),
    ("incident", "Incidents", ()),
    ("case", "Cases", ("opened", "assigned", "reopened", "recovered", "not-recovered")),
    ("apology", "Apologies", ("given",)),
    ("feedback", "Feedback", ("better", "worse", "tagged", "ignored", "replayed")),
    ("feedback-form", "Feedback forms", ()),
    ("criterion", "Rules that act by themselves", ("fired",)),
    ("survey", "Asking again", ()),
    ("message", "Messages", ("sent", "delivered", "bounced", "failed", "suppressed", "withdrawn", "salvaged", "freed")),
    ("suppression", "Addresses that nothing is sent to", ("added", "changed", "lifted")),
    ("provider", "Who carries messages", ("resting", "working")),
    ("session", "Signing in and out", ("opened", "revoked")),
    ("user", "People", ("created", "changed", "disabled", "enabled", "password-reset")),
    ("api-key", "API keys", ("created", "revoked")),
    ("books", "The books", ()),
)  # fmt: skip

PREFIXES = frozenset(f"{kind}." for kind, _, _ in _KINDS)
"""How everything begins that there is a choice for."""


def said(action: str) -> str:
    """Return what was done in words: ``Voucher reissued``."""
    return words.in_words(action.replace(".", " "))


def choices(chosen: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the choices, grouped by what is done to; one that an address names stands among them too."""
    groups = [(title, _of(kind, title, deeds)) for kind, title, deeds in _KINDS]
    known = {key for _, options in groups for key, _ in options}
    other = [(chosen, said(chosen.rstrip(".")))] if chosen and chosen not in known else []
    return [("", [("", "Anything"), *other]), *groups]


def _of(kind: str, title: str, deeds: tuple[str, ...]) -> list[tuple[str, str]]:
    whole = (f"{kind}.", f"{title}: everything" if deeds else title)
    return [whole, *((f"{kind}.{deed}", said(f"{kind}.{deed}")) for deed in deeds)]
