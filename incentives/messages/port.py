"""The port between the outbox and whoever carries a message: a letter goes out, an outcome comes back."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from incentives.kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Everything one message says.

    It holds a name, an address, a code and a link, so it is made at send time and lives only as long as the
    sending: it is never stored and never logged.
    """

    message_id: uuid.UUID
    channel: str  # "email" or "sms"
    template: str  # "voucher" or "apology"
    locale: str  # "en", "es-MX", ...
    to: str  # an email address, or a phone number as E.164
    customer_name: str | None
    brand: str
    apology: str  # the protocol's script, placeholders filled, in the customer's language
    title: str  # the incentive's title in the customer's language
    terms: str
    kind: str  # the incentive's kind, such as "amount_off"
    amount: Money | None  # None for apology_only
    percent: int | None
    points: int | None
    item: str | None
    code: str | None  # as printed: XXXX-XXXX-XXXX-X
    url: str | None  # the customer's page
    expires_at: datetime | None  # an aware instant, the last at which the voucher is good
    time_zone: str  # an IANA name: the zone that the expiry is told in
    where_to_use: tuple[str, ...]  # names of locations; empty means everywhere
    personal_note: str | None = None  # what whoever gave it wrote to this customer

    def __repr__(self) -> str:
        """Name the message only: everything else may be personal or redeemable."""
        return f"Letter(message_id={self.message_id}, channel={self.channel!r}, template={self.template!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyLetter:
    """Asks a customer again how it was, once their trouble has been dealt with. Lives as long as a ``Letter``."""

    message_id: uuid.UUID
    channel: str  # "email" or "sms"
    template: str  # "survey"
    locale: str
    to: str
    customer_name: str | None
    brand: str
    about: str  # the issue tag's label in the customer's language
    scale: str  # "stars_5", "csat", "nps", "ces_7" or "percent"
    scores: tuple[int, ...]  # what may be tapped on, the worst first
    url: str  # the page; with ``?score=4`` it opens with the four chosen

    def __repr__(self) -> str:
        """Name the message only."""
        return f"SurveyLetter(message_id={self.message_id}, channel={self.channel!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLetter:
    """Tells one of the staff about a case, and nothing of its customer: who they are stands behind the sign-in."""

    message_id: uuid.UUID
    channel: str  # "email"
    template: str  # one of ``outbox.NOTICES``
    locale: str
    to: str
    staff_name: str
    brand: str
    about: str  # the issue tag's label
    severity: int
    location: str | None  # its name
    opened_at: datetime
    time_zone: str
    url: str  # the case

    def __repr__(self) -> str:
        """Name the message only."""
        return f"NoticeLetter(message_id={self.message_id}, template={self.template!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLetter:
    """Tells one of the staff, who may read budgets, how far one is used."""

    message_id: uuid.UUID
    channel: str  # "email"
    template: str  # "notice-budget"
    locale: str
    to: str
    staff_name: str
    brand: str
    budget: str  # its name
    subject: str | None  # what the one is called that it is for; None for the whole organization
    threshold_percent: int
    used: Money | None  # None where it does not count money
    ceiling: Money | None  # None where it does not limit money
    used_count: int
    ceiling_count: int | None
    ends_at: datetime | None  # when its period ends
    time_zone: str
    url: str  # the budget

    def __repr__(self) -> str:
        """Name the message only."""
        return f"BudgetLetter(message_id={self.message_id}, template={self.template!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLetter:
    """Tells one of the staff, who leads, that many codes are tried that do not exist."""

    message_id: uuid.UUID
    channel: str  # "email"
    template: str  # "notice-unknown-codes"
    locale: str
    to: str
    staff_name: str
    brand: str
    unknown: int  # so many unknown codes
    tries: int  # of so many tries
    minutes: int  # within so many minutes
    opened_at: datetime
    time_zone: str
    url: str  # the reviews

    def __repr__(self) -> str:
        """Name the message only."""
        return f"SafetyLetter(message_id={self.message_id}, template={self.template!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksLetter:
    """Tells one of the staff, who minds the books, that they do not hold."""

    message_id: uuid.UUID
    channel: str  # "email"
    template: str  # "notice-books"
    locale: str
    to: str
    staff_name: str
    brand: str
    broken: tuple[str, ...]  # a line for each thing
    ended_at: datetime
    time_zone: str
    url: str  # the books check

    def __repr__(self) -> str:
        """Name the message only."""
        return f"BooksLetter(message_id={self.message_id}, template={self.template!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLetter:
    """Tells an administrator that a provider refuses our settings."""

    message_id: uuid.UUID
    channel: str  # "email"
    template: str  # "notice-provider"
    locale: str
    to: str
    staff_name: str
    brand: str
    provider: str  # its name
    carries: str  # the channel whose messages it carries
    reason: str
    since_at: datetime
    time_zone: str
    url: str

    def __repr__(self) -> str:
        """Name the message only."""
        return f"ProviderLetter(message_id={self.message_id}, template={self.template!r})"


AnyLetter = Letter | SurveyLetter | NoticeLetter | BudgetLetter | SafetyLetter | BooksLetter | ProviderLetter


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken the message and promises to deliver it."""

    provider_message_id: str | None


@dataclass(frozen=True, slots=True)
class Captured:
    """The message was kept on this machine, for a developer to look at."""


PROVIDER, PACE, SETTINGS, OURS, THEIRS = "provider", "pace", "settings", "ours", "theirs"
"""Whose doing it is that a message was not taken: the provider is ill, or wants us slower; our settings, or a bug; or
its reader's own, whose mailbox is full.
"""
EITHER = "either"
"""Our settings are wrong for everybody, or for this reader alone: what becomes of other messages tells which."""


@dataclass(frozen=True, slots=True)
class TryLater:
    """The provider has not taken it; ``after_seconds`` is how long it asked us to wait, if it did.

    ``blame`` says whose doing that is: what the next message may hope for of the same provider.
    """

    reason: str
    after_seconds: float | None
    blame: str = PROVIDER


@dataclass(frozen=True, slots=True)
class Unsure:
    """The provider was asked, and what it did is not known: it may have taken the message, or not."""

    reason: str


@dataclass(frozen=True, slots=True)
class WillNeverWork:
    """The provider will refuse this message however often it is sent; a person must do something else.

    ``suppresses`` says why nothing may be sent to that address at all: ``invalid``, ``blocked`` or ``unsubscribed``.
    """

    reason: str
    suppresses: str | None = None


Outcome = Accepted | Captured | TryLater | Unsure | WillNeverWork


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What a provider says, after it took a message, became of it.

    ``event_key`` is the same whenever the provider says the same again. ``status`` and ``code`` are its own words;
    ``means`` is one of ``tables.MEANINGS``, None where they say nothing of the message. ``suppresses`` (one of
    ``tables.SUPPRESSION_REASONS``) says why nothing more may be sent to the address ``to``, which is never stored.
    ``wants_again`` is whether its owner takes back at that instant what they said of not being written to, under the
    same ``code``.
    """

    provider: str
    channel: str
    event_key: str
    status: str
    means: str | None
    occurred_at: datetime
    message_id: uuid.UUID | None = None  # ours, which the provider was given along
    provider_message_id: str | None = None
    code: str | None = None
    suppresses: str | None = None
    wants_again: bool = False
    to: str | None = None

    def __repr__(self) -> str:
        """Name the event only: the rest holds an address."""
        return f"StatusReport(provider={self.provider!r}, event_key={self.event_key!r}, status={self.status!r})"


class NotWritten(Exception):
    """A letter could not be made into what a provider takes, by a bug of ours: no provider was asked to take it."""


class Sender(Protocol):
    """Renders a letter and hands it to one provider.

    ``send`` never raises for anything that a provider or the network does: each of that is an outcome. A
    reason names no address, code, link or key, so it may be stored and shown. What it raises is a bug of ours:
    ``NotWritten`` before anybody was asked; after anything else the provider may have the letter.
    """

    channel: str
    provider: str

    def send(self, letter: AnyLetter) -> Outcome:
        """Render and send one letter; return what became of it."""
        ...


@runtime_checkable
class Informant(Protocol):
    """A sender whose provider can be asked what it has. Where it cannot be told, None comes back; nothing is raised."""

    provider: str

    def look_for(self, letter: AnyLetter, since: datetime) -> Sequence[str] | None:
        """Return the provider's ids of what it has taken since an instant that says the same, the latest first."""
        ...

    def ask(self, provider_message_id: str, now: datetime) -> StatusReport | None:
        """Return what became of a message that the provider has taken, as a callback would have said it."""
        ...
