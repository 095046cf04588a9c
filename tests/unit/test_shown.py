"""What stands in a log where somebody writes down a whole command: no code, no password and nobody's address."""

import uuid

import pytest

from incentives.flows.people import CreateApiKey, CreatedApiKey, CreatedUser, CreateUser
from incentives.flows.redeem import RedeemVoucher
from incentives.flows.reserve import ReserveVoucher
from incentives.flows.sign_in import SignedIn, SignIn
from incentives.kernel.actors import SYSTEM
from incentives.recovery.customers import Contact, CustomerGiven

HIDDEN = "s3cret"
_ID = uuid.UUID(int=1)
_PERSON = {"name": f"Ana {HIDDEN}", "email": f"{HIDDEN}@customer.example", "phone": f"+44{HIDDEN}"}


@pytest.mark.parametrize(
    "command",
    [
        RedeemVoucher(code=HIDDEN, token=HIDDEN, location="london"),
        ReserveVoucher(code=HIDDEN, token=HIDDEN, location="london"),
        SignIn(email="london", password=HIDDEN),
        SignedIn(session_token=HIDDEN, actor=SYSTEM),
        CreateUser(email="london", role="admin", password=HIDDEN),
        CreatedUser(id=_ID, email="london", password=HIDDEN),
        CreatedApiKey(id=_ID, secret=HIDDEN),
        CustomerGiven(**_PERSON, segment="london"),
        Contact(**_PERSON, external_ref="london"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_command_does_not_show_what_it_holds_in_confidence(command: object) -> None:
    assert HIDDEN not in f"{command!r} {command}"


def test_the_rest_of_a_command_is_shown() -> None:
    assert "london" in repr(RedeemVoucher(code=HIDDEN, location="london"))
    assert "till-7" in repr(CreateApiKey(name="till-7", role="till"))
