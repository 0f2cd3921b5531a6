"""Every host draws latents, and pictures of two stages, as the Sampler does.

`pytest -s` prints how far each is away, for docs/gallery.md.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import MadeOnce
from example_programs import BROWSERS, MissingProgramError
from gallery_hosts import HOSTS, REFERENCE
from gallery_page import Row, compared
from golden_bundles import make
from needed_programs import required_litert, required_program

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow

FORMS: dict[str, Any] = {
    "saved_model": True,
    "litert": True,
    "graphs": ("sampler", "noise", "step"),
}
NEEDED = {"web": [BROWSERS], "cpp": [("cmake",), ("c++",)]}


@pytest.fixture(params=["latents.bundle", "cascade.bundle"])
def bundle(request: pytest.FixtureRequest, made_once: MadeOnce) -> Path:
    """A golden bundle in all forms that hosts run."""
    return made_once(f"saved-{request.param}", partial(make, request.param, **FORMS))


@pytest.mark.parametrize("name", [name for name in HOSTS if name != REFERENCE])
def test_it_draws_the_samplers_pictures(bundle: Path, tmp_path: Path, name: str) -> None:
    for program in NEEDED.get(name, []):
        required_program(*program)
    if name == "litert":
        required_litert()
    try:
        images = HOSTS[name].draw(bundle, tmp_path)
        version = HOSTS[name].version()
    except MissingProgramError as error:
        if not HOSTS[name].optional:
            raise
        pytest.skip(str(error))
    with Sampler(bundle, device="cpu") as sampler:
        expected = sampler.sample(8)
    assert images.shape == expected.shape
    row = Row(HOSTS[name], version, images, *compared(images, expected))
    print(row)
    # One level of 255: hosts add in another order.
    assert row.largest <= 1
