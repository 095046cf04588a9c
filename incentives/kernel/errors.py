"""Refusals: what the core says no to, each named for what is so.

A refusal carries facts that are safe to show and the next step in plain words; the doors translate it
(``api/problems.py`` has the one table to HTTP). Everything else that is raised is a bug.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """Something that the business does not do, said politely. Only its children are raised."""

    title: ClassVar[str] = "That is not possible"
    next_step: ClassVar[str] = "Check the request and try again."

    def __init__(self, detail: str = "", **facts: Any) -> None:
        """Keep a sentence about this very case and facts that are safe to show (JSON values)."""
        super().__init__(detail or self.title)
        self.detail = detail or f"{self.title}."
        self.facts = facts

    @property
    def slug(self) -> str:
        """Return the stable name that programs rely on: ``already-redeemed``."""
        return slug_of(type(self))


def slug_of(refusal: type[Refusal]) -> str:
    """Return a refusal's stable name in kebab case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", refusal.__name__).lower()


# --- who asks ---------------------------------------------------------------------------------------------


class NotAuthenticated(Refusal):
    """Nobody that is known asks."""

    title = "You are not signed in"
    next_step = "Send a valid API key as a bearer token, or sign in."


class SignInFailed(Refusal):
    """The email and the password do not belong together."""

    title = "That email and password do not match"
    next_step = "Check both and try again, or ask an administrator for a new password."


class NotPermitted(Refusal):
    """The role may not do this."""

    title = "Your role may not do this"
    next_step = "Ask someone whose role may, or an administrator."


class TooManyRequests(Refusal):
    """More tries than the throttle lets through."""

    title = "Too many tries"
    next_step = "Wait as long as Retry-After says, then try again."


class CsrfRejected(Refusal):
    """A form did not come from our own page."""

    title = "This form has expired"
    next_step = "Reload the page and send the form again."


# --- how it is asked --------------------------------------------------------------------------------------


class InputInvalid(Refusal):
    """One or more fields are wrong; ``errors`` lists field and message."""

    title = "Some of what was sent cannot be used"
    next_step = "Correct the fields that are named and send it again."


class IdempotencyKeyMissing(Refusal):
    """A deed that must not happen twice came without its key."""

    title = "An Idempotency-Key is needed"
    next_step = "Send a header Idempotency-Key of 1 to 255 characters, a new one for each deed."


class IdempotencyKeyReused(Refusal):
    """The key was used before for another request."""

    title = "This Idempotency-Key was used for another request"
    next_step = "Use a new key for a new request; repeat the same body to see the first answer again."


class IdempotencyKeyInFlight(Refusal):
    """The first request with this key has not ended yet."""

    title = "The first request with this Idempotency-Key is still running"
    next_step = "Wait a moment and send the same request again."


class SettingsInvalid(Refusal):
    """The environment is not fit to start with."""

    title = "The settings are wrong"
    next_step = "Correct the variables that are named and start again."


class StorageUnavailable(Refusal):
    """The database does not answer."""

    title = "The records cannot be reached right now"
    next_step = "Send the same request again in a few seconds, with the same Idempotency-Key: it is never done twice."


# --- catalog ----------------------------------------------------------------------------------------------


class CatalogInvalid(Refusal):
    """A catalog file has mistakes; ``errors`` lists line, path and message."""

    title = "The catalog file has mistakes"
    next_step = "Mend the lines that are named and apply the file again."


class NoCatalog(Refusal):
    """Nothing was approved yet."""

    title = "There is no approved catalog"
    next_step = "A manager applies a catalog file and a second person approves it."


class ReleaseNotFound(Refusal):
    """There is no such release of the catalog."""

    title = "There is no such catalog release"
    next_step = "Look at the list of releases."


class ReleaseAlreadyDecided(Refusal):
    """The release is approved, superseded or withdrawn already."""

    title = "This catalog release was decided already"
    next_step = "Apply the file again to propose a new release."


class UnknownIssueTag(Refusal):
    """The catalog has no such issue tag."""

    title = "There is no such issue tag"
    next_step = "Use a key from GET /api/v1/issue-tags."


class UnknownIncentive(Refusal):
    """The catalog has no such incentive."""

    title = "There is no such incentive"
    next_step = "Use a key from POST /api/v1/offers."


class UnknownLocation(Refusal):
    """The catalog has no such location."""

    title = "There is no such location"
    next_step = "Use a key from GET /api/v1/locations."


class OtherLocation(Refusal):
    """Who belongs to one location acts in the name of another."""

    title = "This is another location than yours"
    next_step = "Leave location out, or ask somebody of that location."


class BudgetRedefined(Refusal):
    """A budget's key stands for another budget than before; ``budgets`` names them."""

    title = "A budget cannot change its scope, currency or period"
    next_step = "Give the changed budget a new key; the old one keeps its counters."


class NoProtocol(Refusal):
    """No protocol says what to do about this trouble."""

    title = "No protocol covers this trouble"
    next_step = "A manager adds a protocol for the issue tag, or one for everything."


class IncentiveNotInProtocol(Refusal):
    """The protocol for this trouble does not allow this incentive."""

    title = "This incentive is not approved for this trouble"
    next_step = "Choose one of the offers that the protocol allows."


class IncentiveNotOfferable(Refusal):
    """The incentive may not be offered now or here; ``blocked_reasons`` say why."""

    title = "This incentive cannot be offered now"
    next_step = "Choose another of the offers."


class AmountNotAdjustable(Refusal):
    """The incentive has one fixed value."""

    title = "The value of this incentive is fixed"
    next_step = "Leave amount_minor out."


class AmountOutOfRange(Refusal):
    """The amount is below or above what the incentive allows."""

    title = "The amount is outside what this incentive allows"
    next_step = "Choose an amount between the bounds that are named."


class AmountAboveProtocol(Refusal):
    """The amount is more than the protocol ever allows."""

    title = "The amount is above the most that may be given for this trouble"
    next_step = "Choose a smaller amount, or another incentive."


# --- customers --------------------------------------------------------------------------------------------


class EmailInvalid(Refusal):
    """An address that cannot exist."""

    title = "This email address cannot exist"
    next_step = "Ask the customer to spell it, or show the voucher on the screen."


class PhoneInvalid(Refusal):
    """A number that no country has."""

    title = "This phone number cannot be reached"
    next_step = "Check the number with its country code, or show the voucher on the screen."


class ChannelWithoutAddress(Refusal):
    """A channel is asked for, but the customer has no address for it."""

    title = "There is no address for this channel"
    next_step = "Add the customer's email or phone, or leave the channel out."


class ContactCap(Refusal):
    """One address or number is sent no more messages for now; ``channel`` says by which, ``most`` how many it may be.

    ``retry_after_seconds`` says when the next one may go to it: when the oldest of those that count is a day old.
    """

    title = "This address or number is sent no more messages for now"
    next_step = "Give it on the screen or in print instead, without this channel, or wait as long as Retry-After says."


# --- spending ---------------------------------------------------------------------------------------------


class NoBudget(Refusal):
    """No organization-wide budget holds money in this currency."""

    title = "No budget covers this currency"
    next_step = "Finance adds a budget in this currency to the catalog."


class BudgetExhausted(Refusal):
    """A budget would burst; ``budget`` names it."""

    title = "The budget has no room for this"
    next_step = "Choose a smaller offer, or ask a supervisor or finance."


class CustomerCapReached(Refusal):
    """The customer has had as much as one customer may have; ``budget`` names the cap."""

    title = "This customer has reached the limit for recoveries"
    next_step = "Apologize without an incentive, or ask a supervisor."


class ApprovalNotFound(Refusal):
    """There is no such approval."""

    title = "There is no such approval"
    next_step = "Look at the list of approvals."


class ApprovalAlreadyDecided(Refusal):
    """Somebody decided it first."""

    title = "This request was decided already"
    next_step = "Look at the issuance to see what was decided."


class ApprovalExpired(Refusal):
    """The request waited too long."""

    title = "This request has expired"
    next_step = "Ask for the incentive again."


class SelfApproval(Refusal):
    """The requester wants to decide."""

    title = "You cannot decide your own request"
    next_step = "Somebody else with the right to approve must decide."


class ApprovalAmountInvalid(Refusal):
    """An approver may lower the amount, never raise it."""

    title = "An approver may only lower the amount"
    next_step = "Grant at most what was asked for, within what the incentive allows."


class ApproverLimitExceeded(Refusal):
    """The amount is above what the approver may give."""

    title = "This is above your own limit"
    next_step = "Lower the amount, or leave it to somebody with a higher limit."


# --- working on cases ------------------------------------------------------------------------------------


class CaseNotClosed(Refusal):
    """Only a case that has ended can be opened again."""

    title = "This recovery case is still open"
    next_step = "Go on working on it."


class CaseNotDocumented(Refusal):
    """Something is missing before the case can be closed; ``errors`` names all of it."""

    title = "Something is missing before this case can be closed"
    next_step = "Do or skip what is named, then close it."


class CaseOwned(Refusal):
    """Somebody else has taken the case on."""

    title = "Somebody else has taken this case on"
    next_step = "Ask them, or let whoever leads assign it to you."


class StepOutOfOrder(Refusal):
    """The protocol has another step first; ``next_step_of_protocol`` names it."""

    title = "Another step comes first"
    next_step = "Do the step that is named first, or skip it with a reason."


class StepAlreadyDone(Refusal):
    """The step was done or skipped before; what was written down stays."""

    title = "This step was done already"
    next_step = "Look at the case: it says who did it and when. Write a note to add something."


class TaskNotFound(Refusal):
    """The case has no such task."""

    title = "There is no such task"
    next_step = "Look at the tasks of the case."


class TaskAlreadyDone(Refusal):
    """The task was done before."""

    title = "This task was done already"
    next_step = "Look at the case: it says who did it and when."


class ShareNotFound(Refusal):
    """The case is not shared like that, or not any more."""

    title = "There is no such share"
    next_step = "Look at whom the case is shared with."


class CaseFileNotFound(Refusal):
    """The case has no such file, or it was removed."""

    title = "There is no such file"
    next_step = "Look at the files of the case."


class FileTypeRefused(Refusal):
    """The file is none of the kinds that are kept, or not what it says it is."""

    title = "This kind of file is not kept"
    next_step = "Send a photo (JPEG, PNG or WebP), a PDF or plain text, with the media type that it has."


class FileTooLarge(Refusal):
    """The file is larger than what is kept; ``most_bytes`` says how large it may be."""

    title = "This file is too large"
    next_step = "Send a smaller one: a photo in a lower resolution, or a part of the document."


class TooManyFiles(Refusal):
    """The case has as many files as it may have; ``most`` says how many that is."""

    title = "This case has too many files"
    next_step = "Remove one that is not needed."


class FileUnsafe(Refusal):
    """The scanner says that the file is harmful."""

    title = "This file is not safe"
    next_step = "Do not open it. Ask for another copy of it."


class ScannerUnavailable(Refusal):
    """The scanner does not answer, so that nobody knows whether the file is harmful."""

    title = "Files cannot be checked right now"
    next_step = "Send the file again in a few minutes."


# --- vouchers ---------------------------------------------------------------------------------------------


class IssuanceNotFound(Refusal):
    """There is no such issuance."""

    title = "There is no such issuance"
    next_step = "Check the id."


class CaseClosed(Refusal):
    """The recovery case has ended."""

    title = "This recovery case is closed"
    next_step = "Leave case_id out to open a new case."


class CaseOfAnotherCustomer(Refusal):
    """The recovery case is about somebody else."""

    title = "This recovery case is about another customer"
    next_step = "Check the id, or leave case_id out to open a new case."


class CaseNotFound(Refusal):
    """There is no such recovery case."""

    title = "There is no such recovery case"
    next_step = "Check the id, or leave case_id out to open a new case."


class CodeMalformed(Refusal):
    """The check symbol says that the code was mistyped."""

    title = "This code is mistyped"
    next_step = "Read the code again, symbol by symbol; the last one checks the others."


class KeyRetired(Refusal):
    """The key that made this was taken out of the settings."""

    title = "The key that made this is no longer there"
    next_step = "The operator puts the key back into the settings; nothing is lost."


class CodeRetired(Refusal):
    """The key that made this code, or signed this link, was retired."""

    title = "The key that made this code was retired"
    next_step = "Apologize and call a supervisor, who gives the voucher anew."


class VoucherNotFound(Refusal):
    """No voucher has this code or token."""

    title = "No voucher has this code"
    next_step = "Check the code; if it is right, apologize and call a supervisor."


class AlreadyRedeemed(Refusal):
    """The voucher was spent; ``redeemed_at``, ``location`` and ``redeemed_by`` say when and where."""

    title = "This voucher was redeemed already"
    next_step = "Tell the customer when and where; if they disagree, call a supervisor."


class VoucherExpired(Refusal):
    """The voucher's time is over."""

    title = "This voucher has expired"
    next_step = "Call a supervisor if the customer should still have something."


class VoucherVoided(Refusal):
    """The voucher was taken back."""

    title = "This voucher was taken back"
    next_step = "Call a supervisor."


class VoucherReserved(Refusal):
    """A till holds the voucher for a sale that is being paid."""

    title = "Another till holds this voucher right now"
    next_step = "Finish or cancel the other sale, or wait until its hold ends."


class VoucherReplaced(Refusal):
    """A newer voucher took its place."""

    title = "This voucher was replaced by a newer one"
    next_step = "Use the newer voucher."


class CurrencyMismatch(Refusal):
    """The sale is in another currency than the voucher."""

    title = "The sale is in another currency than the voucher"
    next_step = "Redeem it where the voucher's currency is used."


class OrderTotalMissing(Refusal):
    """A percentage needs the total that it is taken from."""

    title = "This voucher needs the order's total"
    next_step = "Send order_total with the redemption."


class NotUsableHere(Refusal):
    """The voucher may be used at other locations only."""

    title = "This voucher cannot be used here"
    next_step = "The locations where it can be used are named."


# --- people -----------------------------------------------------------------------------------------------


class EmailTaken(Refusal):
    """There is a person with this address already."""

    title = "There is a person with this email already"
    next_step = "Use another address."


class PasswordUnfit(Refusal):
    """Too short, too long or too well known."""

    title = "This password cannot be used"
    next_step = "Use 12 to 128 characters that are not a well-known password."


class UserNotFound(Refusal):
    """There is no such person."""

    title = "There is no such person"
    next_step = "Check the email."


class ApiKeyNotFound(Refusal):
    """There is no such API key."""

    title = "There is no such API key"
    next_step = "Check the id."


class SessionNotFound(Refusal):
    """There is no such session of yours."""

    title = "There is no such session"
    next_step = "Look at the list of sessions."


class NotFound(Refusal):
    """There is nothing under this address."""

    title = "There is nothing here"
    next_step = "Check the address."


class RedemptionNotFound(Refusal):
    """There is no such redemption."""

    title = "There is no such redemption"
    next_step = "Check the id."


class NotReady(Refusal):
    """This server cannot work now; ``failing`` names the parts that keep it from it."""

    title = "This server is not ready"
    next_step = "Mend the parts that are named under failing."


class StorageNotMigrated(Refusal):
    """The database's tables are missing, or older than this program; ``revision`` and ``head`` say how old."""

    title = "The database is not migrated"
    next_step = "Run `incentives db upgrade`, then try again."


# --- feedback ---------------------------------------------------------------------------------------------


class FeedbackFormNotFound(Refusal):
    """There is no such feedback form where the actor may look."""

    title = "There is no such feedback form"
    next_step = "Look at the list of forms."


class FeedbackNotFound(Refusal):
    """There is no such piece of feedback."""

    title = "There is no such feedback"
    next_step = "Check the id."


class FeedbackNotUnderstood(Refusal):
    """A piece was kept and waits for a person; ``inbox_id`` names it, ``field`` what is wrong with it."""

    title = "This was kept, but it cannot be understood"
    next_step = "Nothing is lost: it waits for a person. Correct the fields that are named and send it again."


class FeedbackNotWaiting(Refusal):
    """The piece was dealt with already, or never came in."""

    title = "This does not wait any more"
    next_step = "Look at the queue: somebody may have dealt with it."


class UnknownSource(Refusal):
    """The catalog has no mapping for this source."""

    title = "There is no such source of feedback"
    next_step = "Use the key of a source in the catalog, or add one to it."


# --- incidents -------------------------------------------------------------------------------------------


class IncidentNotFound(Refusal):
    """There is no such incident, or not at this place."""

    title = "There is no such incident"
    next_step = "Look for it in the list of incidents."


class IncidentAlreadyOpen(Refusal):
    """One of this issue tag and place is open; ``incident_id`` names it."""

    title = "There is an open incident about this already"
    next_step = "Attach the new cases to that one, or close it first."


class IncidentOver(Refusal):
    """The incident is closed."""

    title = "This incident is closed"
    next_step = "Open a new one if it has begun again."


# --- safeguards ------------------------------------------------------------------------------------------


class IssuingStopped(Refusal):
    """A switch stops giving this; ``scope``, ``subject`` and ``reason`` say which."""

    title = "Giving is stopped here for now"
    next_step = "Apologize without it, and ask whoever leads when it goes on: they see the switches."


class RedeemingStopped(Refusal):
    """A switch stops redeeming this; ``scope``, ``subject`` and ``reason`` say which."""

    title = "Redeeming is stopped for this for now"
    next_step = "Keep the voucher: it stays good. Ask whoever leads when it goes on."


class SwitchAlreadySet(Refusal):
    """The very same switch is set; ``switch_id`` and ``reason`` say which, ``set_at`` since when."""

    title = "This is stopped already"
    next_step = "Nothing needs to be done. Lift the switch that is named once it may go on."


class SwitchNotFound(Refusal):
    """There is no such switch, or not at this place."""

    title = "There is no such switch"
    next_step = "Look at the list of switches."


class SwitchAlreadyLifted(Refusal):
    """Somebody lifted it before; ``lifted_at`` says when."""

    title = "This switch was lifted already"
    next_step = "Set it again if it must be stopped again."


class OwnSwitch(Refusal):
    """The switch stops the very one who would lift it, or an API key of theirs, or whoever made this one."""

    title = "This switch stops you yourself"
    next_step = "Ask somebody else who leads to lift it."


class BlockedBySafeguards(Refusal):
    """Rules against abuse say no. Which of them is for staff with the review to know, and nobody else.

    ``review`` is what the flow keeps of it once nothing else is left of the try; it is never shown with the refusal.
    """

    review: Mapping[str, Any] | None = None
    title = "This cannot be given or used right now"
    next_step = "A review was opened: whoever leads can look at it and help."


class StepUpRequired(Refusal):
    """Rules against abuse want somebody who leads to do it; ``review`` as above."""

    review: Mapping[str, Any] | None = None
    title = "Somebody who leads must do this"
    next_step = "Fetch a supervisor: they may redeem it in their own name."


class ReviewNotFound(Refusal):
    """There is no such review, or not at this place."""

    title = "There is no such review"
    next_step = "Look at the list of reviews."


class ReviewAlreadyDecided(Refusal):
    """Somebody decided it before; ``decision`` says how."""

    title = "This review was decided already"
    next_step = "Look at what was decided."


class UnderReview(Refusal):
    """A voucher is frozen until its review is decided; ``review_id`` names it."""

    title = "This waits for a review"
    next_step = "Decide the review: releasing it unfreezes the voucher, blocking it takes the voucher back."


class SelfReview(Refusal):
    """Whoever caused a review does not decide it."""

    title = "You caused this review yourself"
    next_step = "Ask somebody else to decide it."


class ListedValueNotFound(Refusal):
    """There is no such entry on the lists."""

    title = "There is no such entry"
    next_step = "Look at the lists."


class SuppressionNotFound(Refusal):
    """Nothing stands by that id on the list of addresses that nothing is sent to, or not any more."""

    title = "Nothing stands against that address any more"
    next_step = "Look at the list."


class OwnListedValue(Refusal):
    """Somebody would trust themselves, or take themselves off a list that has them looked at or refused."""

    title = "This value is your own"
    next_step = "Ask somebody else who keeps the lists."


class AlreadyListed(Refusal):
    """The value stands on this list already; ``listed_id`` names the entry."""

    title = "This stands on the list already"
    next_step = "Remove the entry first if it should say something else."


# --- budgets ---------------------------------------------------------------------------------------------


class BudgetNotFound(Refusal):
    """The catalog in force has no such budget, or no pot of it is for this subject."""

    title = "There is no such budget"
    next_step = "Look at the list of budgets."


class BudgetPeriodOver(Refusal):
    """The budget's period has ended; ``period`` is its first day."""

    title = "This budget's period is over"
    next_step = "Ask for the present period, or for one to come."


class BudgetInUse(Refusal):
    """More would be taken from a budget than is free in it; ``free_minor`` and ``free_count`` say how much is."""

    title = "So much is not free in this budget"
    next_step = "Take what is free at most, or wait until something is released."


class BudgetCurrencyMismatch(Refusal):
    """Two budgets in different currencies; nothing is converted silently."""

    title = "These budgets are in different currencies"
    next_step = "Choose two budgets in one currency."


class BreakGlassLimitReached(Refusal):
    """More would be added in an emergency than the budget's rule allows in a period; ``most_minor`` is left of it."""

    title = "So much may not be added in an emergency"
    next_step = "Ask for less, or for a top-up."


class BudgetRequestNotFound(Refusal):
    """There is no such request to change a budget."""

    title = "There is no such request"
    next_step = "Look at the list of requests."


class BudgetRequestAlreadyDecided(Refusal):
    """The request was approved, declined or withdrawn; ``decision`` says which."""

    title = "This request was decided already"
    next_step = "Look at the budget's history."


# --- at the till -----------------------------------------------------------------------------------------


class VoucherFrozen(Refusal):
    """Somebody has frozen the voucher; ``frozen_until_at`` says until when, where it was said."""

    title = "This voucher is frozen for now"
    next_step = "Do not take it. Call a supervisor: they see why, and can unfreeze it."


class SelfRedemption(Refusal):
    """Whoever gave the voucher wants to redeem it."""

    title = "You gave this voucher yourself"
    next_step = "Let somebody else redeem it: who gives does not redeem."


class RedeemerNotAllowed(Refusal):
    """The incentive names who may redeem it, and the actor is none of them."""

    title = "This voucher is redeemed by others"
    next_step = "Fetch a supervisor: they know who may redeem it."


class OrderTooSmall(Refusal):
    """What counts of the sale is below the minimum; ``min_order_minor`` and ``counted_minor`` say by how much."""

    title = "The sale is below the voucher's minimum"
    next_step = "Tell the customer what is missing to the minimum, or keep the voucher for another day."


class OrderItemsMissing(Refusal):
    """The voucher is for certain products, and nobody said what is bought."""

    title = "This voucher needs to know what is bought"
    next_step = "Send the order's items: each with its product and what is paid for it."


class OrderRefMissing(Refusal):
    """Of a voucher's ``exclusive_group`` one goes with an order, and nobody said which order it is."""

    title = "This voucher needs to know the order"
    next_step = "Send order_ref with the redemption: only one voucher of this kind goes with an order."


class NothingEligible(Refusal):
    """Nothing of what is bought counts; ``products``, ``collections`` and ``excluded_products`` say what does."""

    title = "Nothing in this sale counts for the voucher"
    next_step = "Tell the customer what it is for; they may keep it for another day."


class NotCombinable(Refusal):
    """Another voucher of the same exclusive group was used for this order; ``exclusive_group`` names it."""

    title = "This voucher cannot be combined with another one of this order"
    next_step = "Use one of them for this order and keep the other for the next."


class ConditionNotMet(Refusal):
    """A condition of the incentive fails; ``failed`` says on what."""

    title = "A condition of this voucher is not met"
    next_step = "Tell the customer what is missing; they may keep it for another time."


class ReservationNotFound(Refusal):
    """There is no such reservation."""

    title = "There is no such reservation"
    next_step = "Check the id."


class ReservationLapsed(Refusal):
    """The hold was over before; ``expires_at`` says since when."""

    title = "This hold has lapsed"
    next_step = "Look the voucher up: if it is still good, redeem it or hold it again."


class ReservationEnded(Refusal):
    """The hold was committed or released before; ``ended_as`` and ``ended_at`` say how and when."""

    title = "This hold has ended already"
    next_step = "Look at the reservation: it says what became of it."


class NotYourReservation(Refusal):
    """Another till holds the voucher."""

    title = "Another till holds this voucher"
    next_step = "Let that till finish or release it; a supervisor may release it with a reason."


class RedemptionAlreadyReversed(Refusal):
    """The redemption was undone before; ``reversed_at``, ``kind`` and ``restore`` say when and how."""

    title = "This redemption was undone already"
    next_step = "Look at the redemption: it says what was given back."


class ReversalTooLate(Refusal):
    """The incentive's window for reversals is over; ``reversible_until_at`` says since when."""

    title = "This redemption is too old to be undone"
    next_step = "Give a new incentive if the customer should still have something."


class AnnulmentTooLate(Refusal):
    """A mistaken scan can be undone within minutes; ``annullable_until_at`` says until when."""

    title = "It is too late to undo this scan"
    next_step = "Ask a supervisor or finance to reverse the redemption."


class NotYourRedemption(Refusal):
    """Another till redeemed it."""

    title = "Another till redeemed this"
    next_step = "Let that till undo it, or ask a supervisor to reverse the redemption."


class RemainderUsed(Refusal):
    """What the redemption left is on a voucher that was used or has ended; ``remainder_id`` names it."""

    title = "The rest of this voucher was used or has ended"
    next_step = "Reverse it with restore new_code: the customer gets a new voucher over what was spent."


class CodeGone(Refusal):
    """The voucher was voided, replaced, or expired with uses left: its code must not work again.

    ``voucher_status`` says which.
    """

    title = "The old code must not work again"
    next_step = "Reverse it with restore new_code."


# --- bulk -------------------------------------------------------------------------------------------------


class BulkFileInvalid(Refusal):
    """A bulk file cannot be read; ``errors`` names its lines. Nothing of it was kept."""

    title = "This file cannot be read"
    next_step = "Correct the lines that are named and send the file again."


class BulkJobNotFound(Refusal):
    """There is no such bulk job, or not at this place."""

    title = "There is no such job"
    next_step = "Look for it in the list of jobs."


class BulkJobNotReady(Refusal):
    """The job's ``job_status`` does not allow this now."""

    title = "The job cannot do that now"
    next_step = "Look at how far it is, and try again when it is there."


class BulkJobOfAnother(Refusal):
    """A job gives in its maker's name: nobody else starts it."""

    title = "Somebody else made this job"
    next_step = "Ask them to start it, or send the file yourself."


class BulkRowBroke(Refusal):
    """A row of a bulk job met a mistake of ours, alone too. It was not given, and the others were."""

    title = "Something broke on our side at this row"
    next_step = "Try the refused rows again later; the log says what broke."


class AlreadyGivenForIncident(Refusal):
    """The customer was given something for this incident before; ``case_id`` is where."""

    title = "This customer was given something for this incident already"
    next_step = "Look at their case. Whoever should have more is given it there, by itself."


# --- approvals -------------------------------------------------------------------------------------------


class AlreadyVoted(Refusal):
    """Whoever decides, or whom they stand in for, has had a say on this request already."""

    title = "You have had your say on this request"
    next_step = "Somebody else must agree too."


class NotYourLevel(Refusal):
    """The request waits for others; ``level`` and ``roles`` say for whom, ``escalates_at`` when it goes on."""

    title = "This request waits for others to decide"
    next_step = "Leave it to the roles that are named, or wait until it is passed on."


class NotDelegated(Refusal):
    """Nobody has handed on this right, or not now."""

    title = "You do not stand in for this person now"
    next_step = "Look at the delegations, or decide in your own name."


class DelegationNotFound(Refusal):
    """There is no such delegation, or none that concerns the actor."""

    title = "There is no such delegation"
    next_step = "Look at the list of delegations."


class DelegationEnded(Refusal):
    """The delegation is over or was taken back; ``ended_at`` says since when."""

    title = "This delegation has ended already"
    next_step = "Nothing needs to be done."


class CodeNotShown(Refusal):
    """The code is not revealed here; ``reason`` says why."""

    title = "This code is not shown"
    next_step = "Only a granted hand-over that can still be used is shown, to whoever asked for it."


# --- what becomes of a voucher ---------------------------------------------------------------------------


class VoucherNotFrozen(Refusal):
    """The voucher is not frozen, or not any more."""

    title = "This voucher is not frozen"
    next_step = "Nothing needs to be done: it can be used as long as it is good."


class VoucherUsed(Refusal):
    """Something of the voucher was spent already, so that its value stands."""

    title = "Something of this voucher was spent already"
    next_step = "Give something new in the case, or take back what is left."


class OverLimit(Refusal):
    """It would be more than one's own limit lets pass; ``reasons`` say which."""

    title = "This is above your own limit"
    next_step = "Give it anew in the case: somebody else is asked then. Or let somebody with a higher limit do it."


class ExtensionTooLong(Refusal):
    """All extensions together would be longer than the incentive allows; ``days_left`` says what is."""

    title = "It cannot be extended by so many days"
    next_step = "Choose fewer days, or give something new in the case."


class UndoOver(Refusal):
    """What was given cannot be taken back by its giver any more."""

    title = "It cannot be undone any more"
    next_step = "Ask a supervisor to take the voucher back."


class MessageOnItsWay(Refusal):
    """A message about the voucher waits to be sent by the same channel; ``channel`` names it."""

    title = "A message is on its way already"
    next_step = "Wait until it is sent, then send it again if it does not arrive."


class TooManyCopies(Refusal):
    """The message was sent again as often as it may be; ``most`` says how often."""

    title = "It was sent again often enough"
    next_step = "Ask for another address, or replace the voucher and show it on the screen."


# --- the catalog under four eyes --------------------------------------------------------------------------


class OfferConditionNotMet(Refusal):
    """The incentive's condition does not hold; ``failed`` says on what, ``message`` is the catalog's own word on it."""

    title = "This incentive is not for this case"
    next_step = "Read what it fails on and choose another incentive from the offers."


class ExclusiveGroupTaken(Refusal):
    """The case has an open incentive of the same group; ``issuance_id`` names it."""

    title = "This case has an incentive of the same kind already"
    next_step = "Let the customer use that one, or void it before giving another."


class TooManyOpen(Refusal):
    """The customer has as many open ones of this incentive as they may; ``most`` says how many."""

    title = "This customer has enough of these already"
    next_step = "Choose another incentive, or wait until one of them is used."


class ReleaseScheduled(Refusal):
    """Another release is scheduled; ``number`` and ``effective_at`` say which and when."""

    title = "Another catalog release is scheduled already"
    next_step = "Withdraw the scheduled release first, or wait until it is in force."


class EffectiveDateInvalid(Refusal):
    """A release would be in force in the past, or more than a year from now."""

    title = "A catalog cannot begin to hold then"
    next_step = "Choose an instant within the next year, or leave it out to put the catalog in force now."


class ReleaseInForce(Refusal):
    """The release that is to be brought back is the one in force."""

    title = "This release is in force"
    next_step = "Choose an older release to go back to."
