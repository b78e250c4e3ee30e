"""The Grafana dashboard and the Prometheus alerts in contrib/ name metrics that the service has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from test_monitoring import served

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
DASHBOARD = json.loads((CONTRIB / "grafana-dashboard.json").read_text())
RULES = yaml.safe_load((CONTRIB / "alerts.yml").read_text())["groups"][0]["rules"]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
ALERTS = [rule["expr"] for rule in RULES]


@pytest.fixture
async def sampled(tiny_folder: Path, tmp_path: Path) -> set[str]:
    """Names of all samples that `/metrics` may show. A metric with labels has no sample before it is used."""
    async with served(tiny_folder, tmp_path) as site:
        _, text = await site.get("/metrics")
    names = set()
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


async def test_queries_name_metrics_of_the_service(sampled: set[str]) -> None:
    for query in [*QUERIES, *ALERTS]:
        named = set(re.findall(r"\b(?:lstmega|process)_\w+", query))
        assert named <= sampled, query
        assert named or query.startswith("up{")


async def test_the_dashboard_shows_every_metric(sampled: set[str]) -> None:
    shown = set(re.findall(r"\blstmega_[a-z_]+?(?=_(?:total|bucket)\b|\b)", " ".join(QUERIES + ALERTS)))
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in sampled}
    assert {family for family in families if family.startswith("lstmega_")} == shown


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_says_what_happened() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
