"""Apology scripts: words with placeholders, filled with one customer's facts."""

import re
from collections.abc import Iterator

PLACEHOLDERS = ("customer_name", "brand", "location", "agent_name", "order_ref", "incentive")

_BRACED = re.compile(r"\{([^{}]*)\}")
_FILLABLE = re.compile(r"(?P<space>[ ]?)\{(?P<name>[a-z_]+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_LEADING = re.compile(r"^[\s,;:.!–—-]+")


def mistakes_in(text: str) -> Iterator[str]:
    """Return what is wrong with a script's placeholders, in plain words; nothing for a good one."""
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for name in dict.fromkeys(_BRACED.findall(text)):
        if name not in PLACEHOLDERS:
            yield f"“{{{name}}}” is not a placeholder; these are: {known}."
    if re.search(r"[{}]", _BRACED.sub("", text)):
        yield "A brace stands alone; a placeholder is written {customer_name}."


def alone(text: str) -> str:
    """Return a script without the sentences that speak of an incentive, for an apology that goes by itself.

    A script that speaks of one in every sentence stays as it is.
    """
    kept = [sentence for sentence in _SENTENCE_END.split(text.strip()) if "{incentive}" not in sentence]
    return " ".join(kept) if kept else text


def fill(
    text: str,
    *,
    brand: str,
    incentive: str,
    customer_name: str | None = None,
    location: str | None = None,
    agent_name: str | None = None,
    order_ref: str | None = None,
) -> str:
    """Return a script with its placeholders filled, once: a customer's name is never read as a placeholder.

    A location or agent that is not known is the brand; a name or an order that is not known is left out, with
    the space before it: “Hello {customer_name}, we …” becomes “Hello, we …”.
    """
    facts = {
        "brand": brand,
        "incentive": incentive,
        "customer_name": customer_name or "",
        "location": location or brand,
        "agent_name": agent_name or brand,
        "order_ref": order_ref or "",
    }

    def replaced(match: re.Match[str]) -> str:
        fact = facts.get(match["name"], "")
        return match["space"] + fact if fact else ""

    filled = _FILLABLE.sub(replaced, text)
    if filled == text or not _LEADING.match(filled):
        return filled
    filled = _LEADING.sub("", filled)
    return filled[:1].upper() + filled[1:]
