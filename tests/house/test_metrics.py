"""The page of the metrics and the alerting rules speak of what is told, and of nothing else."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from api.meter import REQUESTS, all_told, catalog_rows
from incentives.queries.figures.gauge import Gauge
from tests.house.texts import ROOT

NAMES = {each.name: each for each in all_told()}
_NAMED = re.compile(r"incentives_[a-z_]+")
_SERIES = {f"{REQUESTS.name}{end}": REQUESTS for end in ("_count", "_sum", "_bucket")}
RULES: list[dict[str, Any]] = [
    rule for group in YAML(typ="safe").load(ROOT / "docs" / "alerts.yml")["groups"] for rule in group["rules"]
]


def test_the_page_lists_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page.endswith(f"{catalog_rows()}\n"), "write it again: api.meter.catalog_rows()"
    assert set(_NAMED.findall(page)) == set(NAMES)


def test_no_two_metrics_have_a_name() -> None:
    assert len(NAMES) == len(all_told())


def test_metrics_are_named_as_prometheus_wants_it() -> None:
    assert [name for name in NAMES if not re.fullmatch(r"incentives(_[a-z]+)+", name)] == []
    assert [each.name for each in all_told() if not each.help.endswith(".")] == []
    # Whatever could name somebody.
    labels = {label for each in all_told() for label in each.labels}
    assert labels == {
        *("method", "route", "status", "channel", "provider", "outcome", "part", "version", "python"),
        *("what", "work", "stops", "scope", "percent"),
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_asks_for_metrics_that_there_are_by_labels_that_they_have(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    named = set(_NAMED.findall(expression))
    assert named
    for name in named:
        gauge: Gauge = _SERIES.get(name) or NAMES[name]
        asked = {
            label
            for inside in re.findall(rf"{name}\{{([^}}]*)\}}", expression)
            for label in re.findall(r"([a-z]+)\s*=~?\s*\"", inside)
        }
        grouped = {label for inside in re.findall(r"by \(([^)]*)\)", expression) for label in inside.split(", ")}
        assert asked <= set(gauge.labels)
        assert grouped <= {*gauge.labels, "instance", "le"}
    assert expression.count("(") == expression.count(")")
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"].endswith((".", "?"))


def test_every_alert_has_a_name_of_its_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) >= 20
