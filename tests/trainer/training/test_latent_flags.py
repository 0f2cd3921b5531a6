"""Flags that autoencoders and models of latents do not have."""

from pathlib import Path

import pytest
from train_flags import Refusal


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_classes=10",), "num_classes=10: an autoencoder has no such setting; leave it"),
        (("--guidance_range=1,2",), "guidance_range=1.0,2.0: an autoencoder has no such setting"),
        (("--time_sampling=stratified",), "time_sampling=stratified: an autoencoder has no such"),
        (("--kid_every_steps=5",), "kid_every_steps=5: an autoencoder has no such setting"),
        (("--prediction=noise",), "prediction=noise: an autoencoder has no such setting"),
        (("--patch_size=2",), "patch_size=2: an autoencoder has no such setting"),
        (("--distill_from=nowhere",), "nowhere: no such folder"),
        (("--factor=3",), "factor=3: task=autoencoder: expected one of 2, 4, 8"),
        (("--widths=8,8",), "widths: 2 of them; expected 3, since factor=4"),
        (("--image_size=18",), "4, since factor=4; choose another size, or a smaller factor"),
        (("--image_size=17", "--factor=2"), "a multiple of 2, since factor=2; choose another size"),
        (("--latent_channels=0",), "latent_channels=0: expected a whole number from 1"),
        (("--preset=tiny",), "preset=tiny: is not for task=autoencoder; leave it out"),
        (("--data=npz:a.npz",), "a.npz"),
    ],
)
def test_flags_that_an_autoencoder_has_not(
    refusal: Refusal,
    tmp_path: Path,
    flags: tuple[str, ...],
    message: str,
) -> None:
    given = (f"--run_dir={tmp_path / 'run'}", "--task=autoencoder", *flags)
    assert message in refusal(*given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--image_size=32",), "image_size=32: the pictures of the autoencoder have 16; leave it"),
        (("--channels=1",), "channels=1: the pictures of the autoencoder have 3; leave it out"),
        (("--levels=0,1",), "levels=0,1: the autoencoder was trained without it; leave it out"),
        (("--fit=pad",), "fit=pad: the pictures of the autoencoder have crop; leave it out"),
        (("--augment=crop",), "augment=crop: whole images become latents, once, at the start"),
        (("--kid_every_steps=5",), "kid_every_steps=5: a network of latents has no such setting"),
        (("--task=inpainting",), "task=inpainting: a network of latents has no such setting"),
        (("--task=autoencoder",), "task=autoencoder: a network of latents has no such setting"),
        (("--distill_from=run",), "distill_from="),
        (("--preset=tiny",), "preset=tiny: is not for latents="),
        (("--data=npz:a.npz",), "a.npz: holds no pictures, which the autoencoder takes"),
        (("--latent_channels=3",), "latent_channels=3: only task=autoencoder has it"),
    ],
)
def test_flags_that_latents_have_not(
    refusal: Refusal,
    tmp_path: Path,
    autoencoder_run: Path,
    flags: tuple[str, ...],
    message: str,
) -> None:
    given = (f"--run_dir={tmp_path / 'run'}", f"--latents={autoencoder_run}", *flags)
    assert message in refusal(*given)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--latents=nowhere",), "nowhere: no such folder"),
        (("--latents=",), "latents=: empty; give the run of an autoencoder"),
        (("--preset=latents",), "preset=latents: is for the latents of an autoencoder; give"),
        (("--latent_channels=4",), "latent_channels=4: only task=autoencoder has it, not gener"),
    ],
)
def test_flags_without_an_autoencoder(
    refusal: Refusal,
    tmp_path: Path,
    flags: tuple[str, ...],
    message: str,
) -> None:
    assert message in refusal(f"--run_dir={tmp_path / 'run'}", *flags)
