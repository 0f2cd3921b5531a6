"""The Apache Beam example draws the Sampler's pictures, on Beam's local runner.

Beam needs older packages than TensorFlow here, so it has an environment of its own (`make hosts`).
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from example_programs import EXAMPLES, ExampleError, start
from PIL import Image

from diffkiln.runtime import Sampler

PYTHON = os.environ.get("DIFFKILN_BEAM_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs DIFFKILN_BEAM_PYTHON, as `make hosts` sets it"),
]
FOLDER = EXAMPLES / "beam"
# What DirectRunner uses unless it can download another runner.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2", "--threads=1")


def draw(*flags: str) -> str:
    return start([PYTHON, FOLDER / "sample.py", f"--runner={RUNNER}", *flags])


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


def test_two_processes_draw_the_samplers_pictures(command: Command, tmp_path: Path) -> None:
    flags, seed = (f"--out={tmp_path / 'pictures'}", "--count=5", "--steps=2"), 2**63 - 5
    draw(*flags, f"--seed={seed}", "--batch_size=2", *TWO_PROCESSES)
    received = pixels(tmp_path / "pictures")
    expected = Sampler(device="cpu").sample(5, seed=seed, steps=2)
    assert sorted(received) == [f"{seed + number}.png" for number in range(5)]
    for number, image in enumerate(expected):
        # One level of 255: another batch may add in another order.
        assert np.abs(received[f"{seed + number}.png"].astype(int) - image).max() <= 1
    continued = command("diffkiln-sample", *flags, f"--seed={seed}", "--device=cpu")
    assert "count 0, 5 were there" in continued.stdout, continued.stderr


def test_a_job_goes_on_where_it_stopped(tiny_bundle: Path, tmp_path: Path) -> None:
    flags = (f"--bundle={tiny_bundle}", f"--out={tmp_path}", "--steps=2")
    draw(*flags, "--count=2")
    cut, finished = (tmp_path / f"{seed:08d}.png" for seed in range(2))
    cut.write_bytes(cut.read_bytes()[:-1])
    before = finished.stat()
    draw(*flags, "--count=4")
    received = np.stack([image for _, image in sorted(pixels(tmp_path).items())])
    expected = Sampler(tiny_bundle, device="cpu").sample(4, steps=2)
    assert np.abs(received.astype(int) - expected).max() <= 1  # as above
    assert finished.stat().st_ino == before.st_ino
    with pytest.raises(ExampleError, match=r"was begun with steps 2, not steps 3"):
        draw(*flags[:2], "--count=4", "--steps=3")


def test_tensorflow_reads_the_records(
    class_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seeds = [7, 2**63 - 1, 0, 300]
    Path("seeds.txt").write_text("".join(f"{seed}\n" for seed in seeds))
    conditioning = ("--label=3,none", "--guidance=1.5", "--steps=3")
    flags = ("--format=tfrecord", "--out=pictures", "--seeds=seeds.txt", *conditioning)
    draw(f"--bundle={class_bundle}", *flags)
    with pytest.raises(ExampleError, match=r"there are files .*/pictures-\*.tfrecord"):
        draw(f"--bundle={class_bundle}", *flags)
    (code,) = re.findall("```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    exec(code, names := {})
    received = {int(seed): (int(label), image) for image, label, seed in names["dataset"]}
    labels = [(3, -1)[seed % 2] for seed in seeds]
    with Sampler(class_bundle, device="cpu") as sampler:
        expected = sampler.sample(seeds=seeds, labels=labels, guidance=1.5, steps=3)
    assert sorted(received) == sorted(seeds)
    for seed, label, image in zip(seeds, labels, expected, strict=True):
        assert received[seed][0] == label
        assert np.abs(received[seed][1].numpy().astype(int) - image).max() <= 1  # as above


IN_A_WORKER = """
import runpy, sys
import apache_beam as beam
from apache_beam.internal import pickler
from diffkiln.runtime import open_bundle
from diffkiln.runtime.command.settings import Settings

program, runner, bundle, sha256, folder = sys.argv[1:]
sample = runpy.run_path(program)
sha256 = sha256 or open_bundle(bundle).graph("sampler").sha256
draw = sample["Draw"](bundle, None, Settings(("sampler",), 2, None, None), sha256)
first, second = (pickler.loads(pickler.dumps(draw)) for _ in range(2))
first.setup(), second.setup()
assert first._sampler is second._sampler
with beam.Pipeline(runner) as pipeline:
    drawn = pipeline | beam.Create([[3, 4], [3, 4]]) | beam.ParDo(draw)
    drawn | beam.Map(sample["write_png"], folder)
"""


def work(bundle: Path, sha256: str, folder: Path) -> None:
    start([PYTHON, "-c", IN_A_WORKER, FOLDER / "sample.py", RUNNER, bundle, sha256, folder])


def test_work_that_is_done_twice_by_threads_with_one_sampler(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    work(tiny_bundle, "", tmp_path)
    expected = Sampler(tiny_bundle, device="cpu").sample(2, seed=3, steps=2)
    received = pixels(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000003.png", "00000004.png"]
    assert np.abs(received["00000003.png"].astype(int) - expected[0]).max() <= 1  # as above
    assert np.abs(received["00000004.png"].astype(int) - expected[1]).max() <= 1


def test_a_worker_with_another_bundle_draws_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match="expected the bundle that the job was started with"):
        work(tiny_bundle, "0" * 64, tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--step=3", "--step: expected a flag of this program or of Apache Beam"),
        ("--steps=0", "--steps=0: expected a whole number from 1"),
        ("--label=rosse", "'rosse' is none of .* did you mean 'rose'"),
        ("--seed=9223372036854775807 --count=2", "--seed=9223372036854775807: expected"),
        ("--seeds=README.md", "README.md: holds '# .* a seed from 0 to"),
        ("--seeds=/dev/null", "--seeds=/dev/null: holds '', expected a seed from 0 to"),
        ("--seeds=README.md --seed=3", "--seed=3: expected none beside --seeds"),
        ("--threads=0", "--threads=0: expected a whole number from 1"),
        ("--out=.", r"/beam: there are files .*/beam/\*, expected none"),
        ("--format=jpg", "--format: invalid choice: 'jpg'"),
        ("9", "9: expected a flag"),
        ("--bundle=../../tests/golden/arrays.bundle", "arrays.bundle: draws arrays that are no"),
        ("--seeds=README.md --count=9", "argument --count: not allowed with"),
    ],
)
def test_a_wrong_flag_is_one_line(tmp_path: Path, flags: str, message: str) -> None:
    count = () if "--seeds" in flags else ("--count=2",)
    command = [PYTHON, "sample.py", f"--out={tmp_path / 'new'}", *count, *flags.split()]
    with pytest.raises(ExampleError, match="ended with status 2") as error:
        start(command, folder=FOLDER)
    # Without its packages for Google's cloud, Beam itself warns when it is imported.
    lines = [line for line in str(error.value).splitlines()[1:] if "apitools" not in line]
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not (tmp_path / "new").exists()
