"""Draw the pictures of many seeds on Apache Beam: PNG files named by their seeds, or TFRecords."""

import argparse
import io
import json
import os
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from PIL import Image

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.bundle.bundle import shipped_bundle
from diffkiln.runtime.command.options import bad_flag, flag_errors, name_list
from diffkiln.runtime.command.settings import Settings, checked_settings
from diffkiln.runtime.errors import UsageError
from diffkiln.runtime.limits import MAX_COUNT, MAX_THREADS, SEED_END, whole
from diffkiln.runtime.output.folder import SETTINGS, png_name, require_same
from diffkiln.runtime.output.images import to_uint8
from diffkiln.runtime.paths import local_path

Picture = tuple[int, int, bytes]  # seed, class or -1, PNG


class Draw(beam.DoFn):
    """Draws lists of seeds; the threads of a process share one Sampler."""

    def __init__(self, bundle: str | None, threads: int | None, settings: Settings, sha256: str):
        self._bundle, self._threads = bundle, threads
        self._settings, self._sha256 = settings, sha256
        self._shared = Shared()

    def setup(self) -> None:
        """Take the process's Sampler, and load its bundle if this is the first thread."""
        self._sampler = self._shared.acquire(lambda: Sampler(self._bundle, threads=self._threads))
        bundle = self._sampler.bundle
        if bundle.graph("sampler").sha256 != self._sha256:
            raise ValueError(f"{bundle.path}: expected the bundle that the job was started with")
        self._choices = self._settings.choices or range(len(bundle.class_names)) or (-1,)

    def process(self, seeds: list[int]) -> Iterator[Picture]:
        """Yield the picture of each seed."""
        arguments = self._settings.arguments(np.array(seeds))
        images = to_uint8(self._sampler.sample(seeds=seeds, **arguments))
        for seed, image in zip(seeds, images, strict=True):
            png = io.BytesIO()
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(png, "PNG")
            yield seed, self._choices[seed % len(self._choices)], png.getvalue()


def missing(seeds: list[int], folder: str) -> list[int]:
    """Return the seeds without a whole picture in the folder, so that a retry draws only those."""

    def is_whole(path: str) -> bool:
        with FileSystems.open(path) as file:
            return file.read().endswith(b"IEND\xaeB`\x82")  # the end of every PNG

    paths = {seed: FileSystems.join(folder, png_name(seed)) for seed in seeds}
    return [s for s, path in paths.items() if not FileSystems.exists(path) or not is_whole(path)]


def write_png(picture: Picture, folder: str) -> None:
    """Write a picture whole or not at all, even if two workers draw it at the same time."""
    name, png = png_name(picture[0]), picture[2]
    temporary = FileSystems.join(folder, f".{name}-{os.urandom(8).hex()}.tmp")
    try:
        with FileSystems.create(temporary) as file:
            file.write(png)
        FileSystems.rename([temporary], [FileSystems.join(folder, name)])
    except BaseException:
        if FileSystems.exists(temporary):
            FileSystems.delete([temporary])
        raise


def example(seed: int, label: int, png: bytes) -> bytes:
    """Return a tf.train.Example as protobuf writes it: TensorFlow alone has a class for that."""

    def varint(number: int) -> bytes:
        low, high = number % 128, number // 128
        return bytes([low + 128]) + varint(high) if high else bytes([low])

    def field(number: int, content: bytes) -> bytes:
        return bytes([8 * number + 2]) + varint(len(content)) + content

    def entry(name: bytes, kind: int, value: bytes) -> bytes:
        return field(1, field(1, name) + field(2, field(kind, field(1, value))))

    image, numbers = entry(b"image", 1, png), {b"label": label % 2**64, b"seed": seed}
    return field(1, image + b"".join(entry(name, 3, varint(n)) for name, n in numbers.items()))


def check_seeds(path: str) -> None:
    """Check a text file of seeds before the workers read it."""
    seeds: set[int] = set()
    with FileSystems.open(path) as file:
        # An empty file has a line without a seed, too.
        for line in file.read().decode().splitlines() or [""]:
            if not line.isdecimal() or int(line) >= SEED_END or int(line) in seeds:
                expected = f"a seed from 0 to {SEED_END - 1} in each line, each seed once"
                raise ValueError(f"seeds={path}: holds {line!r}, expected {expected}")
            seeds.add(int(line))


def begin(out: str, form: str, record: dict[str, object]) -> None:
    """Begin a folder as diffkiln-sample does, or continue one; never mix two jobs' pictures."""
    settings, png = FileSystems.join(out, SETTINGS), form == "png"
    if png and FileSystems.exists(settings):
        with FileSystems.open(settings) as file:
            return require_same(json.load(file), record)
    pattern = FileSystems.join(out, "*") if png else f"{out}-*.tfrecord"
    if FileSystems.match([pattern])[0].metadata_list:
        raise ValueError(f"there are files {pattern}, expected none; choose another path")
    if png:
        with FileSystems.create(settings) as file:
            file.write(json.dumps(record).encode())
    return None


@flag_errors()
def checked(flags: argparse.Namespace, others: list[str]) -> tuple[Draw, PipelineOptions]:
    """Return what the flags ask for; ValueError or OSError if it cannot be done."""
    options, beams = PipelineOptions(others), PipelineOptions([]).get_all_options()
    unknown = options.get_all_options(retain_unknown_options=True).keys() - beams.keys()
    stray = [word for word in others if not word.startswith("--")]
    for word in (*stray, *(f"--{name}" for name in unknown)):
        raise UsageError(f"{word}: expected a flag of this program or of Apache Beam")
    whole("batch_size", flags.batch_size, 1, MAX_COUNT)
    whole("threads", 1 if flags.threads is None else flags.threads, 1, MAX_THREADS)
    if flags.seeds is None:
        whole("seed", flags.seed, 0, SEED_END - whole("count", flags.count, 1, SEED_END))
    elif flags.seed:
        raise UsageError(f"--seed={flags.seed}: expected none beside --seeds; leave it out")
    else:
        check_seeds(flags.seeds)
    bundle = open_bundle(flags.bundle or shipped_bundle())
    if bundle.draws_arrays:
        raise UsageError(
            f"--bundle={bundle.path}: draws arrays that are no pictures, expected a bundle of "
            "pictures; use diffkiln-sample --shard"
        )
    if bundle.conditions:
        raise UsageError(f"--bundle={bundle.path}: takes conditions, which this program has not")
    settings = checked_settings(vars(flags), bundle, ("sampler",))
    try:
        begin(flags.out, flags.format, settings.record(bundle, scale=1))
    except ValueError as error:
        raise bad_flag("out", flags.out, str(error)) from error
    return Draw(flags.bundle, flags.threads, settings, bundle.graph("sampler").sha256), options


def run(flags: argparse.Namespace, draw: Draw, options: PipelineOptions) -> None:
    """Draw, and wait for the end."""
    with beam.Pipeline(options=options) as pipeline:
        if flags.seeds is None:
            end = flags.seed + flags.count
            seeds = pipeline | beam.Create([flags.seed]) | beam.FlatMap(lambda s: range(s, end))
        else:
            seeds = pipeline | beam.io.ReadFromText(flags.seeds) | beam.Map(int)
        # Reshuffle spreads the batches over all workers.
        batches = seeds | beam.BatchElements(flags.batch_size, flags.batch_size) | beam.Reshuffle()
        if flags.format == "png":
            left = batches | beam.Map(missing, flags.out) | beam.Filter(len)
            _ = left | beam.ParDo(draw) | beam.Map(write_png, flags.out)
        else:
            examples = batches | beam.ParDo(draw) | beam.MapTuple(example)
            _ = examples | beam.io.WriteToTFRecord(flags.out, file_name_suffix=".tfrecord")


def absolute(path: str) -> str:
    """Return a path that does not depend on the folder that a worker runs in."""
    return path if "://" in path else str(local_path(path).absolute())


def main() -> None:
    """Run with the process's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="All other flags are Apache Beam's, as --flag=value.",
        usage=argparse.SUPPRESS,  # so that an error is one line
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--out",
        type=absolute,
        required=True,
        help="a folder for PNG files, or a prefix for TFRecord files",
    )
    add("--format", choices=("png", "tfrecord"), default="png")
    add("--bundle", help="its path on every worker; by default the flowers bundled with diffkiln")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--count", type=int, help="how many pictures")
    which.add_argument(
        "--seeds", type=absolute, help="a text file with one seed in each line, instead"
    )
    add("--seed", type=int, default=0, help="of the first of --count pictures, + 1 for each next")
    add("--label", type=name_list, help="classes to show in turn, by name or number")
    add("--guidance", type=float, help="how strongly to show a class; by default the bundle's")
    add("--steps", type=int, help="denoising steps; by default the bundle's")
    add("--batch_size", type=int, default=64, help="how many seeds are one piece of work")
    add("--threads", type=int, help="CPU threads of a process; by default the physical cores")
    flags, others = parser.parse_known_args()
    try:
        draw, options = checked(flags, others)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    run(flags, draw, options)


if __name__ == "__main__":
    main()
