"""Pages of the documentation as data: their files, their commands, their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)(?: path=(\S+))?[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ENVIRONMENT = re.compile(r"^export (\w+)=(\S+)$")


@dataclass(frozen=True)
class Section:
    """A part of a page below one second-level heading ("" = what comes before the first)."""

    page: Path
    heading: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}#{self.heading}" if self.heading else str(self.page.relative_to(ROOT))

    def files(self) -> dict[str, str]:
        """Contents by the path in the info string of a fenced block."""
        return {path: body for _, path, body in _FENCE.findall(self.text) if path}

    def commands(self) -> list[list[str]]:
        """Words of every silicast command in the shell blocks, in order; continued lines joined, environments left out."""
        found = []
        for language, _, body in _FENCE.findall(self.text):
            if language in ("sh", "bash", "shell", "console"):
                for line in body.replace("\\\n", " ").splitlines():
                    found += list(_commands_of(line))
        return found

    def environment(self) -> dict[str, str]:
        """Variables that the shell blocks export."""
        lines = [line for _, _, body in _FENCE.findall(self.text) for line in body.splitlines()]
        return dict(m.groups() for line in lines if (m := _ENVIRONMENT.match(line)))

    def write(self, folder: Path) -> None:
        """Every file of the section below ``folder``."""
        for path, body in self.files().items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body, encoding="utf-8")


def _commands_of(line: str) -> Iterator[list[str]]:
    for part in line.split("&&"):
        words = shlex.split(part, comments=True)
        if words and Path(words[0]).name == "silicast":
            yield words[1:]


def sections(page: Path) -> list[Section]:
    """The page cut at its second-level headings."""
    text = page.read_text(encoding="utf-8")
    cuts = [m.start() for m in _HEADING.finditer(text)]
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [Section(page, m[1].strip() if (m := _HEADING.match(part)) else "", part) for part in parts]


def links(page: Path) -> list[str]:
    """Targets of every link outside fenced blocks."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def anchor(heading: str) -> str:
    """The fragment a heading is reached by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Fragments of every heading of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {anchor(h) for h in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}
