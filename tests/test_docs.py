"""Links in the Markdown lead somewhere, and the paths that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")})
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
NAMED = re.compile(
    r"`((?:trainer|export|runtime|tests|benchmarks|examples|models|docs|scripts)/[\w./-]+)`"
)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"\s", "-", heading) for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"
    assert not [path for path in NAMED.findall(text) if not (ROOT / path).exists()]


def test_snippets_ask_for_the_integers_that_graphs_take() -> None:
    """NumPy 1 makes int32 on Windows, and programs without diffkiln may have it."""
    sources = [*PAGES, *ROOT.glob("examples/**/*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    ranges = re.findall(r"np\.arange\(.*", text)
    assert ranges
    assert not [one for one in ranges if "np.int64" not in one]
