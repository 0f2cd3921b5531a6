"""The web page in real headless Chromium: it draws Python's pictures, and refuses what is broken.

The steps on the page are in examples/web/tests; the bundles and the expected pictures are here.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import require_near
from conftest import GOLDEN
from example_programs import BROWSERS, built_page, use_page
from given_conditions import of, saved
from needed_programs import required_program
from PIL import Image
from small_models import PIXELS, array_network, conditioned_network

from diffkiln.export import export_bundle
from diffkiln.runtime import Sampler
from diffkiln.runtime.command.photo import read_photo
from diffkiln.runtime.output.images import save_picture, to_uint8

pytestmark = pytest.mark.slow

# Those that full.bundle does not have.
FITS = ("pad", "stretch")
STEPWISE = ("sampler", "noise", "step")
# Besides those of arrays.bundle, which are drawn as lines: one line, maps, and a spectrogram.
SHAPES = {"vectors": (7,), "fields": (6, 5, 2), "bands": (9, 12)}


def test_the_page_in_chromium(
    full_bundle: Path,
    fresh_bundle: Path,
    class_bundle: Path,
    learned_bundle: Path,
    guided_bundle: Path,
    conditions_bundle: Path,
    enlarging_bundle: Path,
    painting_bundle: Path,
    arrays_bundle: Path,
    latents_bundle: Path,
    tmp_path: Path,
) -> None:
    required_program(*BROWSERS)
    site, expected = tmp_path / "site", tmp_path / "expected"
    shutil.copytree(built_page(), site)
    shutil.copytree(fresh_bundle, site / "fresh.bundle")
    shutil.copytree(class_bundle, site / "classes.bundle")
    shutil.copytree(learned_bundle, site / "learned.bundle")
    shutil.copytree(guided_bundle, site / "guided.bundle")
    shutil.copytree(conditions_bundle, site / "conditions.bundle")
    shutil.copytree(enlarging_bundle, site / "enlarging.bundle")
    shutil.copytree(painting_bundle, site / "painting.bundle")
    shutil.copytree(arrays_bundle, site / "arrays.bundle")
    shutil.copytree(latents_bundle, site / "latents.bundle")
    shutil.copytree(GOLDEN / "cascade.bundle", site / "cascade.bundle")
    fill_site(site, full_bundle)
    expected.mkdir()
    write_expected(expected, site)
    assert " passed" in use_page(site, "test", WEB_EXPECTED=str(expected))
    for name in ("arrays", *SHAPES):
        require_arrays(expected, name, site / f"{name}.bundle")


def require_arrays(folder: Path, name: str, bundle: Path) -> None:
    """The page saved the Sampler's arrays, and those between two seeds."""
    with Sampler(bundle, device="cpu") as sampler:
        require_near(bundle, np.load(folder / f"{name}.npy"), sampler.sample(2, seed=3, steps=5))
        one = sampler.sample(1, seed=3, steps=5)[0]
        require_near(bundle, np.load(folder / f"{name}-one.npy"), one)
        way = sampler.interpolate(3, 4, 5, steps=5)
        require_near(bundle, np.load(folder / f"{name}-way.npy"), way)


def fill_site(site: Path, full_bundle: Path) -> None:
    """Add more valid bundles, and the broken ones, to the built page."""
    shutil.copytree(full_bundle, site / "full.bundle")
    grey = {"pixel_mean": 0.4, "pixel_std": 0.3}
    network = conditioned_network((64, 48, 1))
    second_order: dict[str, Any] = {**PIXELS, **grey, "solver": "dpmpp_2m", "prediction": "noise"}
    baking: dict[str, Any] = {"graphs": STEPWISE, "saved_model": False}
    export_bundle(network, site / "second-order.bundle", **second_order, **baking)
    lists = {**second_order, **baking, "numbers_as_lists": True}
    export_bundle(network, site / "lists.bundle", **lists)
    for name, shape in SHAPES.items():
        units: dict[str, Any] = {"mean": 1.5, "std": 2.0, "prediction": "noise"}
        units["graphs"] = (*STEPWISE, "from_noise")  # which Python interpolates with
        export_bundle(array_network(shape), site / f"{name}.bundle", **{**baking, **units})
    shutil.copytree(site / "arrays.bundle", site / "four-axes.bundle")
    change_manifest(_set_four_axes)(site / "four-axes.bundle")
    for fit in FITS:
        shutil.copytree(full_bundle, site / f"{fit}.bundle")
        change_manifest(partial(_set_fit, fit))(site / f"{fit}.bundle")
    for name, change in SPOILED_CASCADES.items():
        shutil.copytree(GOLDEN / "cascade.bundle", site / f"{name}.bundle")
        change_manifest(change)(site / f"{name}.bundle")
    for name, spoil in SPOILED.items():
        bundle = site / f"{name}.bundle"
        bundle.mkdir()
        for file in ("bundle.json", "noise.onnx", "step.onnx"):
            shutil.copy(full_bundle / file, bundle)
        spoil(bundle)


def write_expected(folder: Path, site: Path) -> None:
    """Write Python's pictures, as RGBA levels, for the seeds that the tests of the page use."""
    with Sampler(site / "full.bundle", device="cpu") as sampler:
        picture = sampler.sample(1, seed=5, steps=20)
        save_picture(folder / "picture.png", picture[0])
        pictures = {"picture": picture}
        for count, seed in ((1, 2**63 - 1), (7, 2**32 - 3)):
            for steps in (1, 5, 20):
                pictures[f"sample-{count}-{steps}"] = sampler.sample(count, seed=seed, steps=steps)
        pictures["interpolate"] = sampler.interpolate(3, 4, 5, steps=5)
        batch = picture.repeat(3, axis=0)
        pictures["inpaint"] = sampler.inpaint(batch, brushed(16), seed=11, steps=5)
    pictures |= pictures_of_classes(site / "classes.bundle", batch)
    pictures |= pictures_of_conditions(site / "conditions.bundle", batch, folder)
    pictures |= pictures_of_any_size(site / "enlarging.bundle", folder)
    pictures |= painted_pictures(site / "painting.bundle", folder)
    for name in ("fresh", "second-order", "lists", "learned", "guided", "latents", "cascade"):
        with Sampler(site / f"{name}.bundle", device="cpu") as sampler:
            pictures[name] = sampler.sample(2, seed=3, steps=5)
            if name == "cascade":
                pictures["cascade-way"] = sampler.interpolate(3, 4, 5, steps=5)
    wide = save_stripes(folder / "wide.png")
    pictures |= {f"wide-{fit}": read_photo(wide, (16, 16, 3), fit=fit)[None] for fit in FITS}
    for name, images in pictures.items():
        with_alpha(images).tofile(folder / f"{name}.rgba")


def save_stripes(path: Path) -> Path:
    """A picture of 16×8 pixels in stripes, one of them clear, which any filter heightens alike."""
    stripes = np.random.default_rng(0).integers(0, 256, (1, 16, 4), np.uint8).repeat(8, axis=0)
    stripes[..., 3] = 255
    stripes[:, 3, 3] = 0
    Image.fromarray(stripes).save(path)
    return path


def pictures_of_any_size(bundle: Path, folder: Path) -> dict[str, np.ndarray]:
    """Enlarged pictures of many tiles and of less than one, which are saved to the folder."""
    pictures = {}
    with Sampler(bundle, device="cpu") as sampler:
        for name, size in (("small", (47, 53)), ("smallest", (3, 14))):
            small = np.random.default_rng(8).integers(0, 256, (1, *size, 3), np.uint8)
            save_picture(folder / f"{name}.png", small[0])
            pictures[f"{name}-enlarged"] = sampler.upscale(small, seed=2**63 - 1, steps=3)
    return pictures


def painted_pictures(bundle: Path, folder: Path) -> dict[str, np.ndarray]:
    picture = np.random.default_rng(9).integers(0, 256, (1, 8, 8, 3), np.uint8)
    save_picture(folder / "to-paint.png", picture[0])
    with Sampler(bundle, device="cpu") as sampler:
        return {"painted": sampler.inpaint(picture.repeat(2, 0), brushed(8), seed=11, steps=5)}


def pictures_of_classes(bundle: Path, batch: np.ndarray) -> dict[str, np.ndarray]:
    conditioning: dict[str, Any] = {"guidance": 40, "steps": 5}
    with Sampler(bundle, device="cpu") as sampler:
        pictures = {
            "own": sampler.sample(2, seed=9, steps=5),
            "chosen": sampler.sample(2, seed=9, labels="dahlia", **conditioning),
            "way": sampler.interpolate(13, 4, 3, steps=5),
            "none": sampler.inpaint(batch, brushed(16), seed=11, steps=5),
            "inpaint": sampler.inpaint(batch, brushed(16), seed=11, labels="lotus", **conditioning),
        }
    return {f"classes-{name}": images for name, images in pictures.items()}


def pictures_of_conditions(bundle: Path, batch: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    saved(folder, of(0))
    given: dict[str, Any] = {**of(0), "text": [[1, 2, 3], [4, 5, -0.5]], "age": 4}
    with Sampler(bundle, device="cpu") as sampler:
        pictures = {
            "sample": sampler.sample(2, seed=9, steps=5, conditions=given),
            "plain": sampler.sample(2, seed=9, steps=5, conditions=given, guidance=1.0),
            "way": sampler.interpolate(13, 4, 3, steps=5, conditions=given),
            "inpaint": sampler.inpaint(batch, brushed(16), seed=11, steps=5, conditions=given),
        }
    return {f"conditions-{name}": images for name, images in pictures.items()}


def with_alpha(images: np.ndarray) -> np.ndarray:
    colours = np.broadcast_to(to_uint8(images), (*images.shape[:3], 3))
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=-1)


def brushed(size: int) -> np.ndarray:
    """The mask of one touch of the page's brush, of radius 4, right of the middle."""
    y, x = np.indices((size, size)) - size // 2
    return (x - 1) ** 2 + y**2 < 4**2


def change_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        manifest = json.loads((bundle / "bundle.json").read_text())
        change(manifest)
        (bundle / "bundle.json").write_text(json.dumps(manifest))

    return spoil


def change_step(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        step = bundle / "step.onnx"
        step.write_bytes(change(step.read_bytes()))

    return spoil


def write_manifest(text: str) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        (bundle / "bundle.json").write_text(text)

    return spoil


def _set_fit(fit: str, manifest: dict[str, Any]) -> None:
    manifest["image"]["fit"] = fit


def _set_four_axes(manifest: dict[str, Any]) -> None:
    manifest["array"]["shape"] = [1, 2, *manifest["array"]["shape"]]


def _outside(manifest: dict[str, Any]) -> None:
    file = "../full.bundle/noise.onnx"
    manifest["files"][file] = manifest["files"]["noise.onnx"]
    manifest["graphs"]["noise"]["file"] = file


def _keep(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["graphs"] = {name: manifest["graphs"][name] for name in names}

    return change


SPOILED: dict[str, Callable[[Path], object]] = {
    "bare": change_manifest(_keep("sampler", "noise", "step")),
    "altered": change_step(lambda content: content[:1000] + b"!" + content[1001:]),
    "truncated": change_step(lambda content: content[:1000]),
    "longer": change_step(lambda content: content + b"!"),
    "missing": lambda bundle: (bundle / "noise.onnx").unlink(),
    "newer": change_manifest(lambda manifest: manifest.update(format_version=7)),
    "foreign": change_manifest(lambda manifest: manifest.update(format="something")),
    "list": write_manifest("[]"),
    "garbled": write_manifest('{"format": '),
    "outside": change_manifest(_outside),
    "stepless": change_manifest(_keep("sampler", "noise")),
}

SPOILED_CASCADES: dict[str, Callable[[dict[str, Any]], object]] = {
    "uneven": lambda manifest: manifest["then"].update(factor=5),
    "half": _keep("sampler", "from_noise", "noise", "step"),
}
