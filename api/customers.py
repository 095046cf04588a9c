"""Customers, as requests name them."""

from collections.abc import Mapping
from typing import Any

from api.fields import Body, Key, Text
from incentives.flows.issue import CustomerGiven


class CustomerBody(Body):
    """Who was let down. Every part is optional; a channel needs its address."""

    external_ref = Text(
        200, load_default=None, allow_none=True, metadata={"description": "The caller's own reference."}
    )
    name = Text(200, load_default=None, allow_none=True)
    email = Text(320, load_default=None, allow_none=True)
    phone = Text(
        40,
        load_default=None,
        allow_none=True,
        metadata={"description": "With country code, or as the location's country writes it."},
    )
    locale = Text(
        20,
        pattern=r"^[A-Za-z]{2,3}([_\-][A-Za-z0-9]{2,8})*$",
        load_default=None,
        allow_none=True,
        metadata={"description": "The language to write in, such as `es` or `es-MX`."},
    )
    segment = Key(load_default=None, allow_none=True)


def customer_given(body: Mapping[str, Any] | None) -> CustomerGiven:
    """Return the customer of a request; nobody when it names none."""
    return CustomerGiven(**(body or {}))
