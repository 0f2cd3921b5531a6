"""Which files of a folder are pictures, by version: a run keeps the rules that it began with."""

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from PIL import Image, features

from ..errors import InputError

READING_VERSION = 2

# Formats that Pillow passes to another program (EPS) stay out, and those of other uses than photos.
_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
_ENDINGS = {ending: kind for kind, endings in _FORMATS.items() for ending in endings}
# Not every build of Pillow reads these. The plugins are used where they are installed.
_NEEDED = {
    "WEBP": "Pillow with WebP",
    "AVIF": "pillow-avif-plugin",
    "HEIF": "pillow-heif",
}
_HIDDEN = "hidden"
_DOCUMENTS = (
    "txt caption captions tags json jsonl ndjson csv tsv xml yaml yml toml ini cfg conf md rst log "
    "html htm css js ts py ipynb sh bat pdf doc docx odt rtf xls xlsx ppt pptx srt vtt url lnk"
)
_ARRAYS = (
    "npy npz mat pt pth ckpt safetensors onnx tflite h5 hdf5 keras parquet arrow feather lmdb "
    "tfrecord tfrecords pkl pickle joblib db sqlite sqlite3 mdb"
)
_ARCHIVES = "zip tar gz tgz bz2 xz zst 7z rar iso dmg exe dll so torrent part crdownload lock"
_FILMS = "mp4 m4v mov avi mkv webm mpg mpeg wmv 3gp mts mp3 wav flac ogg m4a aac"
_BESIDE_PICTURES = "xmp aae thm lrcat md5 sha1 sha256"
# Raw photographs look like TIFFs, but Pillow would find only their thumbnails.
_RAW = (
    "raw dng nef nrw cr2 cr3 crw arw srf sr2 orf rw2 raf pef srw x3f 3fr erf iiq kdc mrw rwl "
    "dcm nii svs ndpi scn mrxs"
)
_DRAWINGS = "svg ai eps ps psd psb xcf kra ico icns cur exr hdr dds tga pcx jp2 j2k jxl pfm"
# The endings of files that are not opened to see whether they are pictures.
_OTHERS = frozenset(
    f".{ending}"
    for endings in (_DOCUMENTS, _ARRAYS, _ARCHIVES, _FILMS, _BESIDE_PICTURES, _RAW, _DRAWINGS)
    for ending in endings.split()
)
# What network drives and archives put beside pictures, some of it thumbnails.
_SYSTEM_FOLDERS = frozenset(("@eadir", "__macosx", "#recycle", "$recycle.bin"))
_START_BYTES = 16


@dataclass(frozen=True)
class Reading:
    """How one version reads a folder.

    `formats` are Pillow's names of what is decoded, whatever a file is called; `endings`, in lower
    case, are those of pictures. `missing` says what is needed to read some other endings.

    Version 1 took JPEG and PNG by their endings alone, in all folders that are not hidden. Version
    2 opens files with unknown endings to see whether they are pictures, leaves out run directories
    and what systems put beside pictures, and takes folders named train, val and test for parts of
    the data, not for classes.
    """

    version: int
    formats: tuple[str, ...]
    endings: frozenset[str]
    missing: Mapping[str, str]

    def fault(self, parent: str, name: str) -> str | None:
        """Why the file `name` in the folder `parent` is left out, None for a picture."""
        if name.startswith("."):
            return _HIDDEN
        ending = name[name.rfind(".") :].lower()
        if ending in self.endings:
            return None
        if ending in self.missing:
            return f"{ending} (needs {self.missing[ending]})"
        if ending in _OTHERS or ending in _ENDINGS:
            return ending
        if self.version > 1 and _looks_like_picture(f"{parent}/{name}"):
            return None
        return "other files"

    def fault_of_folder(self, name: str) -> str | None:
        """Why a folder is left out by its name, None if it is read."""
        if name.startswith("."):
            return _HIDDEN
        return name if self.version > 1 and name.lower() in _SYSTEM_FOLDERS else None


@cache
def reading(version: int) -> Reading:
    """The rules of a version; raises InputError for one that is not known."""
    if version == 1:
        endings = frozenset((".jpg", ".jpeg", ".png"))
        return Reading(1, ("JPEG", "PNG", "WEBP", "GIF", "BMP"), endings, {})
    if version != READING_VERSION:
        expected = f"expected at most {READING_VERSION}; use the diffkiln that trained the run"
        raise InputError(f"reading_version is {version}, {expected}")
    formats = _readable_formats()
    endings = frozenset(ending for ending, kind in _ENDINGS.items() if kind in formats)
    missing = {end: _NEEDED[kind] for end, kind in _ENDINGS.items() if kind not in formats}
    return Reading(version, formats, endings, missing)


@cache
def _readable_formats() -> tuple[str, ...]:
    """The formats that Pillow reads on this machine, with its plugins where they are installed."""
    Image.init()
    lacking = {"WEBP", "AVIF"} - {name.upper() for name in features.get_supported()}
    with contextlib.suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    if "AVIF" in lacking:
        with contextlib.suppress(ImportError):
            import_module("pillow_avif")
            lacking.remove("AVIF")
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN and kind not in lacking)


def _looks_like_picture(path: str) -> bool:
    """Whether the first bytes of a file are those of a picture."""
    try:
        # Opening a named pipe would wait forever.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116, since a Path takes longer
            return False
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            start = file.read(_START_BYTES)
    except OSError:
        return False
    for kind in _readable_formats():
        _, accept = Image.OPEN[kind]
        # Text may begin as a PPM or a BMP does, but holds no zero byte.
        weak = kind == "PPM" or (kind == "BMP" and 0 not in start)
        if accept and not weak and accept(start) is True:
            return True
    return False
