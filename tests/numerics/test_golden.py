"""The executed graph gives the logits of an independent implementation (transformers) with the same weights.

Self-consistency cannot see a wrong rotary layout or norm; these files can. golden/regenerate.py makes them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.numerics.check import relative_error
from simulator.numerics.scale_down import scale_down
from simulator.numerics.trial import logits, prefill, run, sources
from simulator.ops.op import Array
from simulator.profiles import load_model
from simulator.profiles.model import Model

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.npz"))
BOUND = 1e-5  # transformers computes norms and some gates in float32, and GLM-5's query norm with another epsilon


def load(path: Path) -> tuple[Model, dict[str, Array]]:
    """Tiny model and golden data; fails clearly if the seeded weights are not those the data was made with."""
    tiny = scale_down(load_model(path.stem))
    with np.load(path) as file:
        data = dict(file)
    weights, inputs = sources(tiny, prefill(data["ids"].shape[1]))
    found = np.array([[weights[n].sum(), np.abs(weights[n]).sum()] for n in sorted(weights)])
    same = found.shape == data["fingerprint"].shape and np.allclose(found, data["fingerprint"], rtol=1e-9, atol=1e-9)
    assert same, "the seeded weights changed; run tests/numerics/golden/regenerate.py"
    np.testing.assert_array_equal(inputs["ids"], data["ids"].ravel())
    return tiny, data


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_logits_equal_transformers(path: Path) -> None:
    tiny, data = load(path)
    found = logits(run(tiny, prefill(data["ids"].shape[1])))[0]
    assert relative_error(found, data["logits"]) < BOUND


def test_a_wrong_rotary_layout_of_the_indexer_is_seen() -> None:
    """The bug DeepSeek shipped in 2025: pairs interleaved where halves are meant."""
    tiny, data = load(next(p for p in GOLDEN if p.stem == "deepseek-v3.2"))
    assert tiny.indexer is not None
    wrong = replace(tiny, indexer=replace(tiny.indexer, rope_interleaved=True))
    found = logits(run(wrong, prefill(data["ids"].shape[1])))[0]
    assert relative_error(found, data["logits"]) > 1e-2


def test_the_families_of_the_readme_have_golden_files() -> None:
    assert {"deepseek-v3", "deepseek-v3.2", "deepseek-v4-flash"} <= {p.stem for p in GOLDEN}
