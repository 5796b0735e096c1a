"""docs/devices.md explains every efficiency, and its figures exist and are well-formed."""

from __future__ import annotations

import re
from dataclasses import fields
from xml.etree import ElementTree

import pytest

from simulator.ops.work import Collective, ExpertExchange
from simulator.profiles.ascend import AscendEfficiencies
from simulator.profiles.gpu import GpuEfficiencies
from simulator.profiles.power import Power
from simulator.profiles.tpu import TpuEfficiencies
from tests.docs.pages import ROOT, sections

PAGE = ROOT / "docs" / "devices.md"
PARTS = {s.heading: s.text for s in sections(PAGE)}
FIGURES = sorted((ROOT / "docs" / "figures").glob("*.svg"))


@pytest.mark.parametrize(
    ("heading", "kind"), [("GPU", GpuEfficiencies), ("TPU", TpuEfficiencies), ("Ascend", AscendEfficiencies)]
)
def test_every_efficiency_is_in_its_table(heading: str, kind: type):
    rows = [line.split("|")[1] for line in PARTS[heading].splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {f.name for f in fields(kind)}


def test_every_share_of_power_is_explained():
    assert {f.name for f in fields(Power)} - set(re.findall(r"\w+", PARTS["Power and energy"])) == set()


def test_every_kind_of_term_is_named():
    from simulator.ops import work

    terms = set(work.__all__) - {"Term", "Work"}
    assert {Collective.__name__, ExpertExchange.__name__} < terms
    assert {t for t in terms if f"`{t}`" not in PARTS["How a term becomes a time"]} == set()


def test_every_core_model_says_where_it_is_wrong():
    for heading in ("GPU", "TPU", "Ascend", "Fabric"):
        assert "known to be wrong" in PARTS[heading]


@pytest.mark.parametrize("figure", FIGURES, ids=[f.name for f in FIGURES])
def test_figures_are_well_formed_titled_and_shown(figure):
    root = ElementTree.fromstring(figure.read_text(encoding="utf-8"))
    assert root.tag.endswith("svg")
    assert root[0].tag.endswith("title")
    assert f"figures/{figure.name}" in PAGE.read_text(encoding="utf-8")
