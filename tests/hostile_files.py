"""Damaged and hostile files of a bundle, and what is said of each."""

import io
import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAPH, MANIFEST = "sampler.onnx", "bundle.json"


@dataclass(frozen=True)
class BytesCase:
    """New bytes of sampler.onnx for the old, and the pattern of the error once they are sealed."""

    name: str
    change: Callable[[bytes], bytes]
    pattern: str


@dataclass(frozen=True)
class FolderCase:
    """A change to a bundle's folder, and the pattern of the error."""

    name: str
    change: Callable[[Path], object]
    pattern: str


def field(number: int, content: bytes) -> bytes:
    """A field of bytes as protobuf writes it."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


# What is left of the file, or comes behind it, under a seal that is right.
BYTES_CASES = [
    *(
        BytesCase(
            f"sealed at {tenth}0%", lambda b, t=tenth: b[: len(b) * t // 10], "ends inside|a num"
        )
        for tenth in range(1, 10)
    ),
    BytesCase("empty", lambda b: b[:0], "operator sets"),
    BytesCase("zeros", lambda b: bytes(len(b)), "holds the field 0 of .* in its model"),
    BytesCase("ones", lambda b: b"\xff" * len(b), "a number that does not end"),
    BytesCase("a picture", lambda b: b"\x89PNG\r\n" + b, "holds the field 1[0-9]* of"),
    BytesCase("a graph twice", lambda b: b + field(7, b""), "holds graph twice in one model"),
    BytesCase("an unknown field", lambda b: b + b"\xfa\x06\x00", "holds the field 111 of"),
    BytesCase("training", lambda b: b + b"\xa2\x01\x00", "holds the field 20 of"),
    BytesCase(
        "a group", lambda b: b + b"\x3b", "holds the field 7 of the wire type 3 in its model"
    ),
    BytesCase(
        "a length beyond the end", lambda b: b + b"\x12" + varint(2**62), "ends inside of a p"
    ),
    BytesCase(
        "a length beyond 64 bits", lambda b: b + b"\x12" + b"\xff" * 9 + b"\x7f", "too large"
    ),
    BytesCase("a name that is no text", lambda b: b + field(4, b"\xff\xfe"), "that is not UTF-8"),
    BytesCase("many fields", lambda b: b + field(14, b"") * 500_000, "more than 500000 fields"),
]

FLIPS = 24


def manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A change to the values of bundle.json."""

    def changed(bundle: Path) -> None:
        values = json.loads((bundle / MANIFEST).read_text())
        change(values)
        (bundle / MANIFEST).write_text(json.dumps(values))

    return changed


def text(change: Callable[[str], str | bytes]) -> Callable[[Path], None]:
    """A change to the text of bundle.json."""

    def changed(bundle: Path) -> None:
        made = change((bundle / MANIFEST).read_text())
        (bundle / MANIFEST).write_bytes(made if isinstance(made, bytes) else made.encode())

    return changed


def named(path: str) -> Callable[[Path], None]:
    """The sampler's graph under another path, listed in 'files' as well."""

    def change(values: dict[str, Any]) -> None:
        values["graphs"]["sampler"]["file"] = path
        values["files"][path] = values["files"][GRAPH]

    return manifest(change)


def link(name: str, target: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / name).unlink()
        (bundle / name).symlink_to(target)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return change


def endless(bundle: Path) -> None:
    """A file of 2^40 bytes that takes no room on disk, and is listed as that long or not."""
    os.truncate(bundle / GRAPH, 2**40)


def listed_bytes(size: int) -> Callable[[Path], None]:
    return manifest(lambda values: values["files"][GRAPH].update(bytes=size))


def zipped(
    change: Callable[[zipfile.ZipFile], object] = lambda _: None,
    spoil: Callable[[bytes], bytes] = lambda content: content,
    **settings: Any,
) -> Callable[[Path], None]:
    """A .zip in place of the folder, with more entries, and then other bytes."""

    def changed(bundle: Path) -> None:
        packed = io.BytesIO()
        settings.setdefault("compression", zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(packed, "w", **settings) as archive:
            for file in sorted(bundle.iterdir()):
                archive.write(file, file.name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names that are there already
                change(archive)
        shutil.rmtree(bundle)
        bundle.write_bytes(spoil(packed.getvalue()))

    return changed


def many_files(archive: zipfile.ZipFile) -> None:
    for number in range(25_000):
        archive.writestr(f"{number}", b"")


def bomb(bundle: Path) -> None:
    """A quarter of a million bytes that become a quarter of a gigabyte."""
    listed_bytes(2**28)(bundle)
    os.truncate(bundle / GRAPH, 2**28)


def encrypted(content: bytes) -> bytes:
    """The flag of encryption in every entry of the list at the end."""
    return re.sub(rb"(PK\x01\x02.{4}).", b"\\g<1>\x01", content, flags=re.DOTALL)


def both(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        for one in changes:
            one(bundle)

    return change


def nested_entry(content: str) -> str:
    return content.replace("{", '{"deep":' + "[" * 9999 + "]" * 9999 + ",", 1)


def many_entries(content: str) -> str:
    names = ", ".join(f'"{number}": 0' for number in [*range(60_000), 9])
    return f'{{{names}, "rest": {content}}}'


def another_graph(values: dict[str, Any]) -> None:
    values["graphs"]["sampler"] = values["graphs"]["step"]


def swapped(bundle: Path) -> None:
    """Another graph of the same bundle in the sampler's place."""
    values = json.loads((bundle / MANIFEST).read_text())
    values["files"][GRAPH] = values["files"]["noise.onnx"]
    (bundle / MANIFEST).write_text(json.dumps(values))
    (bundle / "noise.onnx").replace(bundle / GRAPH)


def set_value(section: str, **values: object) -> Callable[[Path], None]:
    return manifest(lambda content: content[section].update(values))


_OUTSIDE = "expected a relative path inside the bundle"

_Row = tuple[str, Callable[[Path], object], str]

# Windows has no such pipes and files, and lets few users make links.
_ROWS_OF_POSIX: list[_Row] = [
    ("link to another file", link(GRAPH, "noise.onnx"), "has .* bytes, expected"),
    ("link to another text", link(MANIFEST, "/etc/passwd"), "is not JSON"),
    ("link to a device", link(GRAPH, "/dev/zero"), "is missing"),
    ("link to a device as manifest", link(MANIFEST, "/dev/zero"), "holds no bundle.json"),
    ("link to itself", link(GRAPH, GRAPH), "cannot be read|is missing"),
    ("pipe", pipe(GRAPH), "is missing"),
    ("pipe as manifest", pipe(MANIFEST), "holds no bundle.json"),
    ("endless file", endless, "has 1099511627776 bytes, expected .*: altered"),
    ("endless file as listed", both(endless, listed_bytes(2**40)), "expected at most 1073741824"),
]

_ROWS: list[_Row] = [
    ("absolute path", named("/etc/passwd"), _OUTSIDE),
    ("parent path", named("../sampler.onnx"), _OUTSIDE),
    ("parent path inside", named("a/../../sampler.onnx"), _OUTSIDE),
    ("path with a backslash", named("..\\sampler.onnx"), _OUTSIDE),
    ("path with a drive", named("C:sampler.onnx"), _OUTSIDE),
    ("path with a zero", named("sampler\0.onnx"), _OUTSIDE),
    ("path of nothing", named(""), _OUTSIDE),
    ("very long path", named("n" * 5000), _OUTSIDE),
    ("path of half a character", named("\ud800.onnx"), "cannot be read|is missing"),
    ("path to the manifest", named(MANIFEST), "has .* bytes, expected"),
    ("path to the folder", named("."), _OUTSIDE),
    ("no graph", lambda bundle: (bundle / GRAPH).unlink(), "is missing"),
    ("file of too many bytes", listed_bytes(2**30), "expected 1073741824: truncated"),
    ("swapped graphs", swapped, r"is a graph seeds int64\[N\] -> noise"),
    ("another graph", manifest(another_graph), "sampler"),
    ("long manifest", text(lambda t: t + " " * 2**20), "too long for a manifest"),
    ("deep manifest", text(lambda t: "[" * len(t) * 40), "nested too deeply"),
    ("deep entry", text(nested_entry), "nested too deeply"),
    ("NaN", text(lambda t: t.replace('"eta": 0.0', '"eta": NaN')), "NaN, which is not finite"),
    ("infinity", text(lambda t: t.replace('"eta": 0.0', '"eta": 1e999')), "1e999, which is not"),
    ("long number", text(lambda t: t.replace("1000", "9" * 5000)), "number of 5000 digits"),
    ("entry twice", text(lambda t: t.replace("{", '{"format": 1,', 1)), "has 'format' twice"),
    ("many entries", text(many_entries), "has '9' twice"),
    ("UTF-16", text(lambda t: t.encode("utf-16")), "is not JSON"),
    ("byte order mark", text(lambda t: "\ufeff" + t), "is not JSON .*BOM"),
    ("no manifest", text(lambda t: t[:0]), "is not JSON"),
    ("list", text(lambda t: f"[{t}]"), "holds a JSON list, expected an object"),
    ("newer format", manifest(lambda v: v.update(format_version=7)), "upgrade diffkiln"),
    ("huge image", set_value("image", height=10**9), "image.height is 1000000000, expected"),
    ("image of no size", set_value("image", width=0), "image.width is 0, expected"),
    ("many channels", set_value("image", channels=10**6), "expected a whole number from 1 to 4"),
    ("another image", set_value("image", height=32), "the graph 'sampler' is seeds"),
    ("many steps", set_value("sampler", max_steps=10**12), "sampler.max_steps is 1000000000000"),
    ("too many steps", set_value("sampler", default_steps=1001), "at most max_steps, 1000"),
    ("more steps than it has", set_value("sampler", max_steps=2000), "that sampler is"),
    ("huge batch", set_value("sampler", unrolled={"steps": 1, "batch": 10**9}), "sampler.unrolled"),
    (
        "other pixels",
        manifest(lambda v: v.update(pixel_mean=[0.5])),
        "says of itself that pixel_mean",
    ),
    ("other schedule", set_value("schedule", max_signal_rate=0.5), "says of itself that schedule"),
]

_ROWS_OF_ZIPS: list[_Row] = [
    ("zip bomb", both(bomb, zipped()), "would grow from [0-9]+ bytes to 268435456, expected"),
    ("zip of many files", zipped(many_files), "its list of files has more than 1048576 bytes"),
    ("zip with a file twice", zipped(lambda z: z.writestr(GRAPH, b"")), "is in the .zip 2 times"),
    (
        "zip of bzip2",
        zipped(compression=zipfile.ZIP_BZIP2),
        "packed by method 12, expected",
    ),
    ("zip of lzma", zipped(compression=zipfile.ZIP_LZMA), "packed by method 14, expected deflate"),
    ("encrypted zip", zipped(spoil=encrypted), "bundle.json is encrypted"),
    ("half a zip", zipped(spoil=lambda b: b[: len(b) // 2]), "cannot be read: File is not a zip"),
    ("zip with other bytes", zipped(spoil=lambda b: b.replace(b"\0", b"\1")), "cannot be read"),
    (
        "zip without manifest",
        both(lambda bundle: (bundle / MANIFEST).unlink(), zipped()),
        "holds no bundle.json, at its top or in one folder",
    ),
    (
        "zip without graph",
        both(lambda bundle: (bundle / GRAPH).unlink(), zipped()),
        "lacks sampler.onnx, though bundle.json lists it",
    ),
    ("zip of an altered file", both(swapped, zipped()), "is a graph seeds"),
]

FOLDER_CASES = [
    FolderCase(*row)
    for row in (*_ROWS, *_ROWS_OF_ZIPS, *(_ROWS_OF_POSIX if os.name == "posix" else ()))
]
