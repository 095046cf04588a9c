"""What a catalog file says of recoveries is understood; what is wrong in it is told, all at once, with its lines."""

import pytest

from incentives.catalog import definitions
from incentives.catalog.catalog import catalog_of, type_of_kind
from incentives.catalog.definitions import Criterion, RecoveryPolicy
from incentives.catalog.difference import FieldChange, difference, warnings_of
from incentives.catalog.document import parse
from incentives.recovery import feedback_tables, tables
from tests.unit.catalog_files import SMALL, added, changed, line_of, mistakes
from tests.unit.catalog_recovery import BROKEN, RECOVERY


def test_a_good_file_is_understood() -> None:
    catalog = parse(RECOVERY)
    assert catalog.brand.hours == {"monday": ("08:00", "18:30")}
    assert catalog.locations["new-york"].hours == {"monday": ("09:00", "17:00"), "saturday": ("10:00", "24:00")}
    assert (catalog.teams["gates"].skills, catalog.teams["gates"].most_open_cases) == (("flight",), 12)
    assert catalog.issue_tags["late"].aliases == {"asknicely": ("late", "Delay"), "zendesk:tag": ("flight_late",)}
    assert catalog.issue_tags["late"].words == ("delayed", "waited for hours")
    protocol = catalog.protocols["late"]
    assert (protocol.optional_steps, protocol.questions) == (("review",), ("what", "who", "when", "differently"))
    assert protocol.clocks == {"first_contact": 30, "apology": 60, "incentive": 120, "fix": 480, "close": 1440}
    assert protocol.tasks[1] == {"kind": "process", "title": "Look at the roster", "due_hours": 168}
    assert protocol.guidance == {"en": "Say what happened.", "es": "Diga qué pasó."}
    assert (protocol.resurvey_after, protocol.resurvey_hours, protocol.resurvey_scale) == ("close", 48, "nps")
    assert catalog.root_causes["too-few"].parent == "people"
    assert catalog.cause_lineage("too-few") == ("too-few", "people")


def test_the_policy_of_recoveries_is_understood() -> None:
    policy = parse(RECOVERY).recovery
    assert (policy.root_cause_from_severity, policy.settle_minutes, policy.blame_free) == (2, 10, False)
    assert (policy.recovered_score_pct, policy.survey_quiet_days) == (75, 30)
    assert policy.automation_ceiling_minor == {"GBP": 6000}
    assert parse(SMALL).recovery == RecoveryPolicy()


def test_a_source_is_understood() -> None:
    source = parse(RECOVERY).sources["asknicely"]
    assert source.fields["external_id"] == ("/question/id",)
    assert source.fields["comment"] == ("/question/comment", "/comment")
    assert source.fields["currency"] == ("=GBP",)
    assert source.values == {"location": {"LHR": "london", "JFK T4": "new-york"}}
    assert (source.scale, source.tag_source, source.tolerance_hours) == ("nps", "asknicely", 48)


def test_criteria_are_understood() -> None:
    very_unhappy, unhappy, grave = parse(RECOVERY).criteria.values()
    assert very_unhappy.when["score_at_most_pct"] == 20
    assert very_unhappy.when["words"] == ("awful", "never again")
    assert (very_unhappy.when["from_time"], very_unhappy.when["until_time"]) == ("22:00", "06:00")
    assert very_unhappy.then["issue"] == {"channels": ("email", "sms"), "incentive": "off", "amount_minor": 2000}
    assert very_unhappy.then["assign"] == {"to": "same_agent", "team": "gates"}
    assert very_unhappy.breaker == {"count_per_hour": 20, "amount_minor_per_hour": {"GBP": 30000}}
    assert (very_unhappy.mode, very_unhappy.stop, very_unhappy.holdout_percent) == ("live", True, 10)
    assert (unhappy.mode, unhappy.then) == ("shadow", {"open_case": True, "offer": True})
    assert (grave.then["assign"], grave.then["unsalvageable"]) == ({"to": "supervisor"}, True)


def test_every_item_comes_back_from_its_json_form() -> None:
    catalog = parse(RECOVERY)
    items = [type_of_kind[each.item_kind].from_definition(each.definition()) for each in catalog.items()]
    assert catalog_of(items) == catalog
    assert catalog_of(items).digest == catalog.digest


def test_a_catalog_from_before_there_were_recoveries_has_the_digest_it_had() -> None:
    # Computed by the code of the release before; a changed one would make a new version of every item.
    assert parse(SMALL).digest == "bb9c3536e6b0c0887d1f6bb6c6c4075ff6035e4ef8799917fa32706751d6c409"
    assert parse(SMALL).protocols["late"].definition().keys() == {
        "key", "issue_tag", "script", "steps", "incentives", "default", "most_minor",
    }  # fmt: skip


def test_writing_out_a_default_changes_nothing() -> None:
    defaults = "recovery: {recovered_score_pct: 75, survey_quiet_days: 30, blame_free: true}\n"
    assert difference(parse(SMALL), parse(SMALL + defaults)) == ()
    spelled = changed("    default: off\n", "    default: off\n    resurvey_after: close\n")
    assert (
        difference(
            parse(spelled), parse(changed("_after: close\n", "_after: close\n    resurvey_hours: 24\n", spelled))
        )
        == ()
    )


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_told_with_its_line_and_path(case: str) -> None:
    old, new, path, message, place = BROKEN[case]
    text = changed(old, new, RECOVERY)
    told = mistakes(text)
    line = text[: text.index(place)].count("\n") + 1
    matching = [each for each in told if each["path"] == path and message in each["message"]]
    assert [each["line"] for each in matching] == [line], told


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_not_followed_by_a_crowd_of_others(case: str) -> None:
    old, new, *_ = BROKEN[case]
    assert len(mistakes(changed(old, new, RECOVERY))) <= 3


def test_all_mistakes_are_told_at_once_from_top_to_bottom() -> None:
    text = RECOVERY
    cases = ("no such weekday", "unknown skill", "unknown clock", "unknown parent of a cause", "pointer of dots", "a loop of giving", "holdout of most")  # fmt: skip  # noqa: E501
    for case in cases:
        text = changed(*BROKEN[case][:2], text)
    told = mistakes(text)
    assert len(told) == len(cases) + 1  # the loop is told twice: it gives, and it asks again
    assert [each["line"] for each in told] == sorted(each["line"] for each in told)


def test_root_causes_that_are_their_own_ancestors_are_refused() -> None:
    told = mistakes(changed("{key: people, label", "{key: people, parent: too-few, label", RECOVERY))
    assert [each["path"] for each in told] == ["root_causes[people].parent", "root_causes[too-few].parent"]
    assert "These root causes are a circle: people → too-few → people" in told[0]["message"]


def test_one_value_of_a_source_means_one_tag() -> None:
    other = "{key: slow, label: {en: Slow, es: Lento}, icon: clock, severity: 1, aliases: {asknicely: [DELAY, slow]}}"
    text = added("issue_tags", other, RECOVERY)
    (told,) = mistakes(text)
    assert told["path"] == "issue_tags[late].aliases.asknicely[1]"
    assert told["line"] == line_of(text, "asknicely: [late, Delay]")
    assert told["message"] == "“Delay” of asknicely means “slow” already; keep it at one of the two."


def test_one_value_may_mean_one_tag_here_and_another_there() -> None:
    other = '{key: slow, label: {en: Slow, es: Lento}, icon: clock, severity: 1, aliases: {"zendesk:tag": [Delay]}}'
    assert len(parse(added("issue_tags", other, RECOVERY)).issue_tags) == 5


def criterion(key: str, when: str, *, mode: str = "live", priority: int = 100) -> str:
    then = "then: {issue: {channels: [email]}}, breaker: {count_per_hour: 5}"
    return f"{{key: {key}, name: N, mode: {mode}, priority: {priority}, when: {when}, {then}}}"


def two(one: str, other: str) -> str:
    return f"{SMALL}criteria:\n  - {one}\n  - {other}\n"


def test_two_live_criteria_that_issue_at_one_priority_disagree() -> None:
    text = two(criterion("one", "{kinds: [survey]}"), criterion("other", "{score_at_most_pct: 20}"))
    (told,) = mistakes(text)
    assert (told["path"], told["line"]) == ("criteria[other].priority", line_of(text, "key: other"))
    assert f"“other” and “one” (line {line_of(text, 'key: one')}) both issue at priority 100" in told["message"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{locations: [london]}", "{locations: [new-york]}"),
        ("{kinds: [survey]}", "{kinds: [complaint, event]}"),
        ("{sources: [a]}", "{sources: [b]}"),
        ("{weekdays: [monday]}", "{weekdays: [sunday]}"),
        ("{score_at_most_pct: 20}", "{score_at_least_pct: 21}"),
        ("{score_at_least_pct: 21}", "{score_at_most_pct: 20}"),
    ],
)
def test_criteria_that_never_meet_do_not_disagree(one: str, other: str) -> None:
    assert len(parse(two(criterion("one", one), criterion("other", other))).criteria) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{issue_tags: [flight]}", "{issue_tags: [gone]}"),  # feedback may have several tags
        ("{score_at_most_pct: 20}", "{score_at_least_pct: 20}"),
        ("{locations: [london]}", "{locations: [london, new-york]}"),
    ],
)
def test_criteria_that_may_meet_disagree(one: str, other: str) -> None:
    assert len(mistakes(two(criterion("one", one), criterion("other", other)))) == 1


@pytest.mark.parametrize("more", [{"mode": "shadow"}, {"mode": "off"}, {"priority": 99}])
def test_criteria_of_which_one_waits_do_not_disagree(more: dict[str, str]) -> None:
    text = two(criterion("one", "{kinds: [survey]}"), criterion("other", "{kinds: [survey]}", **more))  # type: ignore[arg-type]  # one of its own arguments
    assert len(parse(text).criteria) == 2


def test_a_breaker_of_amounts_binds_every_currency_that_may_be_given() -> None:
    amounts = "amount_minor_per_hour: {GBP: 10000}"
    text = two(criterion("one", "{kinds: [survey]}").replace("count_per_hour: 5", amounts), criterion("b", "{kinds: [event]}"))  # fmt: skip  # noqa: E501
    (told,) = mistakes(text)
    assert "does not bind what is given in USD" in told["message"]
    assert len(parse(changed(amounts, "amount_minor_per_hour: {GBP: 10000, USD: 10000}", text)).criteria) == 2


def test_a_criterion_in_shadow_needs_no_breaker() -> None:
    text = changed("    mode: live\n    stop: true\n", "", changed(*BROKEN["live without a breaker"][:2], RECOVERY))
    assert parse(text).criteria["very-unhappy"].breaker == {}


def test_a_changed_criterion_is_shown_field_by_field() -> None:
    after = parse(changed("score_at_most_pct: 50", "score_at_most_pct: 60", RECOVERY))
    (change,) = difference(parse(RECOVERY), after)
    assert (change.action, change.item_kind, change.key) == ("changed", "criterion", "unhappy")
    assert change.fields == (FieldChange("when.score_at_most_pct", 50, 60),)
    assert str(change) == "changed criterion unhappy\n    when.score_at_most_pct: 50 → 60"


def test_hours_and_aliases_that_change_are_shown() -> None:
    text = changed('monday: ["09:00", "17:00"]', 'monday: ["09:00", "18:00"]', RECOVERY)
    text = changed("asknicely: [late, Delay]", "asknicely: [late]", text)
    assert [str(each) for each in difference(parse(RECOVERY), parse(text))] == [
        'changed location new-york\n    hours.monday: ["09:00", "17:00"] → ["09:00", "18:00"]',
        'changed issue tag late\n    aliases.asknicely: ["late", "Delay"] → ["late"]',
    ]


def test_new_kinds_of_items_are_told_by_name() -> None:
    told = {str(each) for each in difference(parse(SMALL), parse(RECOVERY)) if each.action == "added"}
    assert told == {
        "added root cause people", "added root cause too-few", "added recovery policy recovery",
        "added source asknicely", "added criterion very-unhappy", "added criterion unhappy", "added criterion grave",
    }  # fmt: skip


def test_a_source_that_no_tag_knows_is_warned_of() -> None:
    assert not [each for each in warnings_of(parse(RECOVERY)) if "alias" in each]
    (warning,) = [each for each in warnings_of(parse(changed("_source: asknicely", "_source: ask", RECOVERY))) if "alias" in each]  # fmt: skip  # noqa: E501
    assert "No issue tag has an alias for “ask”" in warning


def test_a_source_that_looks_misspelled_is_warned_of() -> None:
    assert not [each for each in warnings_of(parse(RECOVERY)) if "waits for" in each]
    text = changed('sources: [asknicely, "zendesk:tag"]', "sources: [askniceley]", RECOVERY)
    (warning,) = [each for each in warnings_of(parse(text)) if "waits for" in each]
    assert "did you mean “asknicely”?" in warning


def test_hours_of_a_place_are_its_own_else_the_brands() -> None:
    catalog = parse(RECOVERY)
    assert catalog.hours("london") == catalog.hours(None) == {"monday": ("08:00", "18:30")}
    assert catalog.hours("new-york")["saturday"] == ("10:00", "24:00")
    assert parse(SMALL).hours("london") == {}


def test_the_catalog_and_the_tables_have_the_same_words() -> None:
    assert definitions.FEEDBACK_KINDS == feedback_tables.KINDS
    assert definitions.EVENTS == feedback_tables.EVENTS
    assert definitions.SCALES == feedback_tables.SCALES
    assert definitions.CLOCKS == tables.CLOCKS
    assert definitions.TASK_KINDS == tables.TASK_KINDS


def test_what_is_empty_in_a_definition_is_left_out() -> None:
    plain = Criterion(key="k", name="n", priority=1, when={"kinds": ("survey",)}, then={"open_case": True})
    assert plain.definition() == {
        "key": "k", "name": "n", "priority": 1, "when": {"kinds": ["survey"]}, "then": {"open_case": True},
    }  # fmt: skip
