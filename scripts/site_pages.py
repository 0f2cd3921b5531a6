"""Shows the repository's Markdown as a site in which every file keeps its place (a mkdocs hook).

So a relative link means the same in the repository and on the site. Files that a page links to,
such as pictures and programs, are copied; a link to a folder leads to its README.md.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "examples/*/README.md")
STYLE = ROOT / "docs/style/site.css"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """The theme's own files, the pages, and what the pages link to."""
    theme = [file for file in files if file.src_dir != config["docs_dir"]]
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    linked = {
        (page.parent / target).resolve()
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
    }
    chosen = sorted(path for path in pages | linked | {STYLE} if path.is_file())
    own = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in chosen
    ]
    return Files(theme + own)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links to folders made links to their README.md."""
    folder = (ROOT / page.file.src_uri).parent

    def whole(link: re.Match[str]) -> str:
        return f"{link[0]}/README.md" if (folder / link[0]).is_dir() else link[0]

    return LINK.sub(whole, markdown)
