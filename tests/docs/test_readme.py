"""Commands shown in README and docs run; links point at something that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import silicast
from tests.docs.pages import PAGES, ROOT, Section, anchors, links, sections

TESTED_ELSEWHERE = {"extending.md"}  # test_extending.py
WITH_COMMANDS = [s for page in PAGES if page.name not in TESTED_ELSEWHERE for s in sections(page) if s.commands()]
OUTSIDE = "shared/"  # published measurements, not part of the project


@pytest.mark.parametrize("section", WITH_COMMANDS, ids=[s.name for s in WITH_COMMANDS])
def test_commands_of_a_page_run(section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    section.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in section.environment().items():
        monkeypatch.setenv(name, value)
    for words in section.commands():
        if any(OUTSIDE in word for word in words):
            continue
        outcome = silicast(*words)
        assert outcome.status == 0, f"silicast {' '.join(words)}: {outcome.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_point_at_something_that_exists(page: Path):
    wrong = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and file.suffix == ".md" and fragment not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def test_the_readme_shows_the_main_job():
    shown = [words for s in sections(ROOT / "README.md") for words in s.commands()]
    assert any(words[0] == "compare" and "deepseek-v3.2-chat" in words for words in shown)
