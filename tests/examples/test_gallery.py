"""The gallery: every host draws the Sampler's pictures, and an error names a host that does not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from example_programs import BROWSERS
from gallery_hosts import HOSTS
from gallery_page import BEGIN, END, around_the_marks
from needed_programs import required_program
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.output.images import enlarge, grid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "docs/gallery.md", tmp_path))


def gallery(bundle: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks/gallery.py", f"--bundle={bundle}"]
    return subprocess.run(
        [*command, f"--page={page}", *flags], capture_output=True, text=True, check=False
    )


def test_every_host_draws_the_pictures_of_the_sampler(saved_class_bundle: Path, page: Path) -> None:
    for names in (BROWSERS, ["cmake"], ["c++"]):
        required_program(*names)
    prose = page.read_text()
    done = gallery(saved_class_bundle, page)
    assert done.returncode == 0, done.stderr
    left_out = {name for name, host in HOSTS.items() if f"{host.title} is left" in done.stdout}
    assert left_out <= {"csharp", "openvino"}
    titles, levels = table(page)
    assert titles == [host.title for name, host in HOSTS.items() if name not in left_out]
    assert levels[0] == "–"
    assert set(levels[1:]) <= {"0", "1"}
    assert around_the_marks(page) == (prose.split(BEGIN)[0] + BEGIN, END + prose.split(END)[1])
    assert "Seed s shows class s mod 10, at a guidance of 20." in page.read_text()
    images = enlarge(Sampler(saved_class_bundle, device="cpu").sample(8, steps=20), 4)
    picture = np.asarray(Image.open(page.with_name("images") / "gallery.png"))
    row = grid(images, one_row=True)
    assert np.array_equal(picture[: row.shape[0], -row.shape[1] :], row)


def table(page: Path) -> tuple[list[str], list[str]]:
    """The hosts' names and their largest differences."""
    written = page.read_text().split(BEGIN)[1].split(END)[0]
    lines = [line for line in written.splitlines() if line.startswith("| ")][2:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [re.sub(r"\[(.*)\]\(.*", r"\1", title) for title, *_ in cells], [row[3] for row in cells]


def test_an_error_names_a_host_that_draws_something_else(
    saved_bundle: Path, page: Path, tmp_path: Path
) -> None:
    for name in ("cmake", "c++"):
        required_program(name)
    before = page.read_text()
    bundle = Path(shutil.copytree(saved_bundle, tmp_path / "black.bundle"))
    shutil.rmtree(bundle / "saved_model")
    save_black(bundle / "saved_model")
    done = gallery(bundle, page, "--hosts=cpp")
    assert done.returncode == 1
    assert re.search(r"C\+\+, TensorFlow's C API by \d+ levels of 255 away from", done.stderr)
    assert "plain onnxruntime" not in done.stdout
    assert page.read_text() == before
    assert not page.with_name("images").exists()


def save_black(folder: Path) -> None:
    """Save a SavedModel with a sampler's signature that draws black for every seed."""
    seeds = tf.TensorSpec([None], tf.int64, name="seeds")
    steps = tf.TensorSpec([], tf.int64, name="steps")

    @tf.function(input_signature=[seeds, steps])
    def black(seeds: tf.Tensor, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.size(seeds) + 0 * tf.cast(steps, tf.int32)
        return {"images": tf.zeros([count, 16, 16, 3], tf.uint8)}

    tf.saved_model.save(tf.Module(), str(folder), signatures=black)


def test_a_page_without_marks_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Gallery\n")
    done = gallery(tiny_bundle, page)
    assert (done.returncode, f"page.md holds no {BEGIN}" in done.stderr) == (1, True), done.stderr


def test_a_bundle_that_some_hosts_cannot_draw_is_refused(bundle_copy: Path, page: Path) -> None:
    file = bundle_copy / "bundle.json"
    text = file.read_text()
    file.write_text(text.replace('"uint8"', '"float32"'))
    done = gallery(bundle_copy, page)
    assert (done.returncode, "float32 images of 3 channels, expected uint8" in done.stderr) == (
        1,
        True,
    )
    manifest = json.loads(text)
    del manifest["graphs"]["step"]
    file.write_text(json.dumps(manifest))
    assert "holds no graph 'step'" in gallery(bundle_copy, page).stderr


def test_a_bundle_of_arrays_is_refused(arrays_bundle: Path, page: Path) -> None:
    done = gallery(arrays_bundle, page)
    assert (done.returncode, "draws arrays that are no pictures" in done.stderr) == (1, True)
