"""docs/metrics.md explains every key that is printed or written."""

from __future__ import annotations

import json
import re

from simulator.report import comparison, explanation
from simulator.report.run_report import HEADLINE
from simulator.report.sweep_report import METRICS
from simulator.validation.predict.families import FAMILIES
from tests.cli.command import silicast
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
EXPLAINED = set(re.findall(r"`([\w.]+)`", TEXT))


def document(*words: str) -> dict:
    outcome = silicast(*words, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_every_key_of_a_run_is_explained():
    found = document("run", "deepseek-v3.2-chat")
    phase, operator = found["phases"]["decode"], found["operators"][0]
    keys = {*found, *phase, *operator, *phase["energy_j_per_device"]} - {"phases", "operators"}
    assert keys - EXPLAINED == set()


def test_every_key_of_a_sweep_and_a_comparison_is_explained():
    swept = document("sweep", "deepseek-v3.2-chat", "--axis", "context=2048,8192")
    compared = document("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm")
    keys = {*swept["rows"][0], *swept, *compared, *compared["rows"][0]} - {"rows", "context"}
    assert keys - EXPLAINED == set()


def test_every_column_and_predicted_metric_is_explained():
    assert set(METRICS) - EXPLAINED == set()
    assert {key for key, _, _ in HEADLINE} - EXPLAINED == set()
    assert {column for family in FAMILIES for column in family.outputs} - EXPLAINED == set()
    headers = {" ".join(c.header.split()) for c in (*comparison.COLUMNS, *explanation.COLUMNS)} - {
        "device",
        "stage",
    }
    assert {h for h in headers if h not in TEXT} == set()
