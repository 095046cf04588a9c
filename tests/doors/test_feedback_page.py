"""The page on which customers say how it was: what it takes, what it refuses, and that opening it changes nothing."""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from channels.asking_words import EN, ES
from channels.feedback_form import COMMENT_LONGEST
from incentives.flows.feedback_forms import close_form
from incentives.kernel.errors import StorageUnavailable
from incentives.kernel.keys import sign
from incentives.kernel.throttle import LIMITS, Limit, Throttle
from incentives.queries.feedback_forms import list_forms
from incentives.recovery import links
from incentives.recovery.feedback_tables import feedback_inbox, feedback_tags
from incentives.recovery.tables import recovery_cases, surveys
from incentives.vouchers import codes
from incentives.vouchers.tables import vouchers
from tests.doors.feedback import FeedbackPages, fields_of, opened, words_of
from tests.doors.test_voucher_page import ROBOTS

A_MOMENT, OVER_A_DAY = timedelta(seconds=30), timedelta(hours=25)
ARABIC = "الخدمة كانت سيئة \u202eللغاية"  # noqa: RUF001 - Arabic


@pytest.fixture
def pages(database_url: str) -> Iterator[FeedbackPages]:
    with opened(database_url) as made:
        yield made


@pytest.fixture
def on_sqlite(sqlite: Any) -> Iterator[FeedbackPages]:
    """The same on one database, for what does not depend on it."""
    url = sqlite.new()
    with opened(url) as made:
        yield made
    sqlite.drop(url)


# --- looking ---------------------------------------------------------------------------------------------------------


def test_opening_changes_nothing_whoever_opens_and_however_often(pages: FeedbackPages) -> None:
    paths = [pages.form(), pages.voucher(), pages.survey()]
    before = pages.everything()
    for path in paths:
        for robot in ROBOTS:
            for more in ("", "?score=1", "?score=5", "?score=99&comment=x", "/thanks", "/qr.svg"):
                assert pages.get(path + more, headers={"User-Agent": robot}).status_code == 200
                assert pages.client.head(path + more, headers={"User-Agent": robot}).status_code == 200
    assert pages.everything() == before


def test_the_score_of_the_address_is_chosen_and_one_press_sends_it(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.survey()
    page = on_sqlite.get(path + "?score=4")
    assert fields_of(page)["score"] == "4"
    assert EN.chosen_hint.format(score=4) in words_of(page)
    assert on_sqlite.send(path, fields_of(page)).status_code == 303
    (piece,) = on_sqlite.pieces()
    assert (piece.score_given, piece.score_bp, piece.source) == ("4", 7500, "resurvey")


@pytest.mark.parametrize("score", ["0", "6", "-1", "4.0", "x" * 5000, "<script>"])
def test_a_score_that_is_none_is_not_chosen(on_sqlite: FeedbackPages, score: str) -> None:
    page = on_sqlite.get(on_sqlite.survey(), query_string={"score": score})
    assert page.status_code == 200
    assert "score" not in fields_of(page)


def test_a_page_is_small_closed_and_without_script(on_sqlite: FeedbackPages) -> None:
    for path in (on_sqlite.form(scale="nps"), on_sqlite.voucher(), on_sqlite.survey()):
        page = on_sqlite.get(path)
        files = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
        weight = len(page.data) + sum(on_sqlite.size_of(each) for each in files if each.startswith("/"))
        assert weight < 100_000
        assert not [each for each in files if not each.startswith(("/", "data:"))]
        assert "<script" not in page.text
        assert "style=" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "Set-Cookie" not in page.headers


def test_a_customer_is_addressed_in_their_language(on_sqlite: FeedbackPages) -> None:
    spanish = on_sqlite.get(on_sqlite.survey(locale="es-MX"), headers={"Accept-Language": "en"})
    assert ES.title_again in words_of(spanish)
    assert '<html lang="es-MX">' in spanish.text
    table = on_sqlite.form()
    assert ES.title in words_of(on_sqlite.get(table, headers={"Accept-Language": "fr, es;q=0.5"}))
    assert EN.title in words_of(on_sqlite.get(table, headers={"Accept-Language": "fr"}))


def test_whatever_is_no_link_of_ours_gets_one_answer(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.form()
    ring, somebody = on_sqlite.core.keys.links, uuid.uuid4()
    tokens = [
        "x",
        path.removeprefix("/f/")[:-1],
        "%00",
        links.token_of(ring, links.FORM, somebody),
        links.token_of(ring, links.VOUCHER, somebody),
        links.token_of(ring, links.SURVEY, somebody),
        sign(ring, "voucher-link", somebody.bytes, short=True),
        sign(ring, "feedback-link", b"x" + somebody.bytes, short=True),
    ]
    before = on_sqlite.everything()
    for token in tokens:
        for answer in (on_sqlite.get(f"/f/{token}"), on_sqlite.send(f"/f/{token}", {"score": "1"})):
            assert answer.status_code == 404, token
            assert EN.gone_title in words_of(answer)
    assert on_sqlite.everything() == before


# --- sending ---------------------------------------------------------------------------------------------------------


def test_a_table_s_form_is_taken_in_whole(pages: FeedbackPages) -> None:
    path = pages.form(issue_tag="flight")
    answer = pages.fill(
        path,
        score="2",
        choices=["flight-delayed", "nonsense"],
        comment="Four hours.\r\nNobody told us.",
        name=" Ana  Ruiz ",
        contact="ana.ruiz@gmail.com",
        consent="yes",
    )
    assert answer.status_code == 303
    assert EN.thanks_title in words_of(pages.get(answer.location))
    (piece,) = pages.pieces()
    assert (piece.source, piece.kind, piece.scale, piece.score_given, piece.score_bp) == (
        "form", "survey", "stars_5", "2", 2500,
    )  # fmt: skip
    assert (piece.location, piece.consent, piece.choices) == ("london", True, ["flight-delayed"])
    assert piece.customer_id is not None
    assert pages.comment(piece) == "Four hours.\nNobody told us."
    assert {row.issue_tag for row in pages.rows(feedback_tags)} == {"flight-delayed"}
    (form,) = list_forms(core=pages.core, actor=pages.manager).items
    assert (piece.form_id, form.answers) == (form.id, 1)
    (raw,) = pages.rows(feedback_inbox)
    assert (raw.status, raw.feedback_id, raw.media_type) == (
        "understood",
        piece.id,
        "application/x-www-form-urlencoded",
    )


def test_pressing_twice_counts_once(pages: FeedbackPages) -> None:
    path = pages.form()
    fields = {**fields_of(pages.get(path)), "score": "5"}
    pages.fill(path, score="1")
    assert [pages.send(path, fields).status_code for _ in range(3)] == [303, 303, 303]
    assert sorted(row.score_given for row in pages.pieces()) == ["1", "5"]


def test_a_voucher_s_form_knows_its_customer_and_trouble(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.voucher()
    page = words_of(on_sqlite.get(path))
    assert EN.contact_label not in page
    assert on_sqlite.fill(path, score="3").status_code == 303
    (piece,) = on_sqlite.pieces()
    assert (piece.source, piece.issue_tag, piece.location) == ("voucher-form", "flight-delayed", "london")
    assert piece.voucher_id is not None
    assert piece.customer_id is not None


def test_a_voucher_s_page_leads_to_its_form(on_sqlite: FeedbackPages) -> None:
    on_sqlite.voucher()
    token = codes.token_of(on_sqlite.core.keys.links, on_sqlite.rows(vouchers)[-1].id)
    page = on_sqlite.get(f"/v/{token}")
    (address,) = re.findall(r'href="(http://127.0.0.1:8000/f/[^"]+)"', page.text)
    assert on_sqlite.get(on_sqlite.path(address)).status_code == 200


def test_a_re_survey_is_answered_paired_and_may_be_changed(pages: FeedbackPages) -> None:
    path = pages.survey()
    assert pages.fill(path, score="2", seconds=0).status_code == 303
    again = pages.get(path)
    assert EN.change_hint.format(score=2) in words_of(again)
    assert pages.fill(path, score="5", comment="They called.").status_code == 303
    (piece,) = pages.pieces()
    (survey,) = pages.rows(surveys)
    (case,) = pages.rows(recovery_cases)
    assert (piece.revision, piece.score_given, survey.answer_score_bp) == (2, "5", 10_000)
    assert (case.recovered, case.recovered_evidence) == (True, "score")


def test_after_its_window_a_re_survey_takes_nothing(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.survey()
    page = fields_of(on_sqlite.get(path)) | {"score": "5"}
    on_sqlite.send(path, page)
    on_sqlite.clock.advance(OVER_A_DAY)
    before = on_sqlite.everything()
    for answer in (on_sqlite.get(path), on_sqlite.send(path, page | {"score": "1"})):
        assert answer.status_code == 410
        assert EN.closed_title in words_of(answer)
    assert on_sqlite.everything() == before


def test_a_form_that_was_closed_says_so_kindly(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.form()
    (form,) = list_forms(core=on_sqlite.core, actor=on_sqlite.manager).items
    close_form(core=on_sqlite.core, actor=on_sqlite.manager, form_id=form.id)
    answer = on_sqlite.get(path)
    assert answer.status_code == 410
    assert EN.gone_title in words_of(answer)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "score", EN.score_missing),
        ({"score": "9"}, "score", EN.score_missing),
        ({"score": "1", "comment": "x" * (COMMENT_LONGEST + 1)}, "comment", EN.too_long.format(most=COMMENT_LONGEST)),
        ({"score": "1", "name": "x" * 201}, "name", EN.too_long.format(most=200)),
        ({"score": "1", "contact": "ana at home", "consent": "yes"}, "contact", EN.contact_wrong),
        ({"score": "1", "contact": "ana@", "consent": "yes"}, "contact", EN.contact_wrong),
        ({"score": "1", "contact": "12", "consent": "yes"}, "contact", EN.contact_wrong),
        ({"score": "1", "contact": "ana@example.com"}, "consent", EN.consent_missing),
        ({"score": "1", "page": "forged"}, "page", EN.page_lost),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_sent(
    on_sqlite: FeedbackPages, fields: dict[str, Any], field: str, message: str
) -> None:
    path = on_sqlite.form()
    before = on_sqlite.everything()
    answer = on_sqlite.fill(path, **fields)
    assert answer.status_code == 422
    assert message in words_of(answer)
    if field != "page":
        assert f'id="{field}-wrong"' in answer.text
    kept = fields_of(answer)
    assert kept.get("contact", "") == fields.get("contact", "")
    assert on_sqlite.everything() == before
    # Corrected, it goes through from where it stands.
    on_sqlite.clock.advance(A_MOMENT)
    fixed = kept | {"score": "1", "comment": "x", "name": "", "contact": ""}
    assert on_sqlite.send(path, fixed).status_code == 303
    assert len(on_sqlite.pieces()) == 1


def test_a_page_of_another_form_is_no_page_of_this_one(on_sqlite: FeedbackPages) -> None:
    one, other = on_sqlite.form(), on_sqlite.form()
    fields = fields_of(on_sqlite.get(other)) | {"score": "5"}
    assert on_sqlite.send(one, fields).status_code == 422
    assert on_sqlite.pieces() == []


def test_texts_in_any_writing_keep_their_marks_and_lose_what_nobody_types(pages: FeedbackPages) -> None:
    assert pages.fill(pages.form(), score="1", comment=f"\x00{ARABIC}\x07 ok \U0001f600").status_code == 303
    (piece,) = pages.pieces()
    assert pages.comment(piece) == f"{ARABIC} ok \U0001f600"


def test_what_was_typed_is_only_ever_text(on_sqlite: FeedbackPages) -> None:
    evil = '"><script>alert(1)</script>'
    answer = on_sqlite.fill(on_sqlite.form(), comment=evil, name=evil, contact=evil, choices=[evil])
    assert answer.status_code == 422
    assert "<script" not in answer.text
    assert fields_of(answer)["comment"] == evil


def test_a_megabyte_is_refused_kindly_and_leaves_nothing(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.form()
    before = on_sqlite.everything()
    for size in (1024 * 1024 + 1, 3 * 1024 * 1024):
        answer = on_sqlite.fill(path, score="1", comment="x" * size)
        assert answer.status_code == 413
        assert EN.over_title in words_of(answer)
    long = on_sqlite.fill(path, score="1", comment="x" * 900_000)
    assert long.status_code == 422
    assert len(long.data) < 100_000
    assert on_sqlite.everything() == before


# --- too many, and programs ------------------------------------------------------------------------------------------


def test_a_form_posted_a_thousand_times_a_minute_is_held_up_and_keeps_what_was_typed(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.form()
    page = fields_of(on_sqlite.get(path))
    on_sqlite.clock.advance(A_MOMENT)
    fields = page | {"score": "1", "comment": "Line one\nline “two”", "choices": "flight", "consent": "yes"}
    statuses = [on_sqlite.send(path, fields).status_code for _ in range(1000)]
    assert statuses.count(429) == 1000 - LIMITS["form-posts"].tries
    assert len(on_sqlite.pieces()) == 1
    busy = on_sqlite.send(path, fields)
    assert busy.status_code == 429
    assert int(busy.headers["Retry-After"]) > 0
    assert EN.busy_title in words_of(busy)
    kept = fields_of(busy)
    assert {name: kept[name] for name in ("score", "choices", "consent", "page")} == {
        name: fields[name] for name in ("score", "choices", "consent", "page")
    }
    assert kept["comment"].split() == fields["comment"].split()
    # Somebody else, from elsewhere, is not held up.
    elsewhere = on_sqlite.client.post(path, data=fields, environ_overrides={"REMOTE_ADDR": "203.0.113.9"})
    assert elsewhere.status_code == 303


@pytest.mark.parametrize("doubt", ["hurried", "trapped", "crowded"])
def test_who_may_be_a_program_is_asked_one_simple_question(on_sqlite: FeedbackPages, doubt: str) -> None:
    path = on_sqlite.form()
    if doubt == "crowded":
        on_sqlite.app.extensions["throttle"] = Throttle(limits={**LIMITS, "form-posts": Limit(2, 60)})
        on_sqlite.send(path, {})
    before = on_sqlite.everything()
    answer = on_sqlite.fill(
        path, seconds=0 if doubt == "hurried" else 30, score="5", **({"website": "spam"} if doubt == "trapped" else {})
    )
    assert answer.status_code == 422
    asked = words_of(answer)
    assert "plus" in asked
    left, right = re.findall(r"how much is (\w+) plus (\w+)\?", asked)[0]
    total = EN.numbers.index(left) + EN.numbers.index(right)
    assert on_sqlite.everything() == before
    fields = fields_of(answer)
    if doubt == "crowded":
        on_sqlite.app.extensions["throttle"] = Throttle()
    wrong = on_sqlite.send(path, fields | {"puzzle": "99"})
    assert (wrong.status_code, EN.puzzle_wrong in words_of(wrong)) == (422, True)
    assert on_sqlite.everything() == before
    on_sqlite.clock.advance(OVER_A_DAY)
    assert on_sqlite.send(path, fields | {"puzzle": str(total)}).status_code == 303
    assert len(on_sqlite.pieces()) == 1


def test_many_forged_links_are_held_up_and_ours_are_not(on_sqlite: FeedbackPages) -> None:
    path = on_sqlite.form()
    tries = LIMITS["link-misses"].tries
    assert [on_sqlite.get(f"/f/{number}").status_code for number in range(tries + 5)] == [404] * tries + [429] * 5
    assert EN.busy_title in words_of(on_sqlite.get("/f/x"))
    assert on_sqlite.get(path).status_code == 200


def test_the_page_says_so_where_the_records_cannot_be_reached(
    on_sqlite: FeedbackPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> None:
        raise StorageUnavailable(retry_after_seconds=2)

    path = on_sqlite.form()
    page = fields_of(on_sqlite.get(path)) | {"score": "5"}
    on_sqlite.clock.advance(A_MOMENT)
    monkeypatch.setattr("channels.feedback_page.take_in", away)
    answer = on_sqlite.send(path, page)
    assert answer.status_code == 503
    assert EN.failed_title in words_of(answer)
    assert answer.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("name", "greeted"),
    [("Win at evil.example", None), ("https://evil", None), ("a@b", None), ("J. R. Ruiz-López", "J. R. Ruiz-López")],
)
def test_a_name_that_leads_somewhere_stands_in_no_letter(on_sqlite: FeedbackPages, name: str, greeted: Any) -> None:
    sent = on_sqlite.fill(on_sqlite.form(), score="1", name=name, contact="ana.ruiz@gmail.com", consent="yes")
    assert sent.status_code == 303
    contact = json.loads(on_sqlite.core.contacts.decrypt(on_sqlite.pieces()[0].contact) or "")
    assert contact.get("name") == greeted
