"""Build the sdist and the wheel, and try the wheel in an empty environment: `make dist`.

`build` makes the wheel from the sdist, so an sdist that lacks a file fails too. Exit status 1, with
one line, if a file is missing or a command fails.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("trainer", "export", "runtime")


def main() -> None:
    """Build into the folder of the first argument (`dist`)."""
    out = Path(*sys.argv[1:2] or ["dist"]).resolve()
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,) = out.glob("*.whl")
    require_files(wheel)
    with tempfile.TemporaryDirectory() as folder:
        draw_a_flower(wheel, Path(folder))
    print(f"{wheel.name}: complete, and draws in an empty environment")


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a command; exit with status 1 if it fails."""
    if subprocess.run(command, cwd=folder, check=False).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def require_files(wheel: Path) -> None:
    """Exit unless the wheel holds every file of the packages that git knows, and no other."""
    listed = subprocess.check_output(["git", "ls-files", *PACKAGES], cwd=ROOT, text=True)
    expected = {f"diffkiln/{path}" for path in listed.splitlines()}
    with zipfile.ZipFile(wheel) as archive:
        received = {name for name in archive.namelist() if ".dist-info/" not in name}
    if received != expected:
        sys.exit(
            f"{wheel.name}: lacks {sorted(expected - received)}, has {sorted(received - expected)} "
            "too much; list rooms and their data in pyproject.toml"
        )


def draw_a_flower(wheel: Path, folder: Path) -> None:
    """Install the wheel, with what an app needs, outside the repository, and draw one picture."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel}[cpu]", folder=folder)
    picture = folder / "flowers.png"
    run(programs / "diffkiln-sample", "--count=1", "--steps=1", f"--out={picture}", folder=folder)
    if not picture.is_file():
        sys.exit(f"{picture}: diffkiln-sample wrote nothing")


if __name__ == "__main__":
    main()
