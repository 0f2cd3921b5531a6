"""Draws the same eight seeds in each host of the examples, and writes docs/gallery.md.

    python benchmarks/gallery.py --bundle=flowers.bundle

Runs the examples' own programs on one bundle, and fails, writing nothing, if a host's pixels are
more than one level of 255 away from those of diffkiln's Sampler.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import app, flags
from example_programs import ExampleError, MissingProgramError
from gallery_hosts import HOSTS, REFERENCE, SEEDS, Host, Pictures
from gallery_page import Row, around_the_marks, compared, write

from diffkiln.runtime.bundle.bundle import open_bundle
from diffkiln.runtime.errors import DiffkilnError

FLAGS = flags.FLAGS
flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_list("hosts", list(HOSTS), f"hosts to run, of {', '.join(HOSTS)}")
flags.DEFINE_string(
    "page",
    str(Path(__file__).parents[1] / "docs/gallery.md"),
    "the page whose table and images/gallery.png are written",
)
flags.register_validator(
    "hosts",
    lambda hosts: bool(hosts) and set(hosts) <= set(HOSTS),
    message=f"expected some of {', '.join(HOSTS)}",
)

# Hosts add the same numbers in another order, which may round to the next level.
MOST_LEVELS = 1


def described(folder: Path) -> str:
    """Describe the bundle for the page; raise DiffkilnError if a host cannot run it."""
    bundle = open_bundle(folder)
    if bundle.draws_arrays:
        raise ExampleError(
            f"{folder} draws arrays that are no pictures, expected pictures; "
            "tests/examples/test_arrays.py compares the hosts that draw arrays"
        )
    for graph in ("noise", "step"):
        bundle.graph(graph)
    height, width, channels = bundle.sample_shape
    if (channels, bundle.sample_dtype) != (3, "uint8"):
        raise ExampleError(
            f"{folder} has {bundle.sample_dtype} images of {channels} channels, expected uint8 of "
            "3, which the examples draw; export a model of colours with --image_dtype=uint8"
        )
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    sampler, parameters = manifest["sampler"], manifest["model"]["parameters"] / 1e6
    solver = "learned steps" if "tables" in sampler else f"steps of `{sampler['solver']}`"
    classes = len(bundle.class_names)
    shown = f"\nSeed s shows class s mod {classes}, at a guidance of {bundle.default_guidance:g}."
    return (
        f"Seeds {SEEDS.start} to {SEEDS.stop - 1} in {bundle.default_steps} {solver}, from a model "
        f"of {height}×{width} pixels and {parameters:.1f} million parameters.\nThe SHA-256 of its "
        f"`sampler.onnx` is `{bundle.graph('sampler').sha256}`." + (shown if classes else "")
    )


def drawn(bundle: Path, names: Iterable[str]) -> Iterator[Row]:
    """Yield a row for the Sampler, and one for each named host that is installed."""
    reference = None
    for host in (host for name, host in HOSTS.items() if name in {REFERENCE, *names}):
        try:
            images = pictures(host, bundle)
        except MissingProgramError as error:
            if not host.optional:
                raise
            print(f"{host.title} is left out: {error}")
            continue
        except ExampleError as error:
            raise ExampleError(f"{host.title}: {error}") from error
        reference = images if reference is None else reference
        if images.shape != reference.shape:
            raise ExampleError(
                f"{host.title}: pictures of shape {images.shape}, expected {reference.shape}"
            )
        yield Row(host, host.version(), images, *compared(images, reference))


def pictures(host: Host, bundle: Path) -> Pictures:
    with tempfile.TemporaryDirectory() as folder:
        return host.draw(bundle, Path(folder))


def require_the_same(rows: Iterable[Row]) -> None:
    """Raise ExampleError that names each host that differs by more than MOST_LEVELS."""
    wrong = [f"{row.host.title} by {row.largest}" for row in rows if row.largest > MOST_LEVELS]
    if wrong:
        raise ExampleError(
            f"{', '.join(wrong)} levels of 255 away from {HOSTS[REFERENCE].title}, expected at "
            f"most {MOST_LEVELS}; nothing was written. Run diffkiln-export --verify on the bundle, "
            "and compare the host's noise with the golden vectors in bundle.json"
        )


def main(_: list[str]) -> None:
    bundle, page = Path(FLAGS.bundle).resolve(), Path(FLAGS.page)
    try:
        around = around_the_marks(page)
        about = described(bundle)
        rows = []
        for row in drawn(bundle, FLAGS.hosts):
            print(row, flush=True)
            rows.append(row)
        require_the_same(rows)
        write(page, around, rows, about)
    except (ExampleError, DiffkilnError, OSError) as error:
        sys.exit(f"gallery: {error}")


if __name__ == "__main__":
    app.run(main)
