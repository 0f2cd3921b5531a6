"""What all images of a task have in common: the steps, the classes and the guidance."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..engine.arguments import checked_steps
from ..engine.conditioning import NO_LABEL, checked_conditioning, class_number
from .options import flag_errors


class Settings(NamedTuple):
    """`graphs` are run; `choices` are the classes to show, number s mod their count for seed s.

    None leaves the classes, and the guidance, to the sampler.
    """

    graphs: tuple[str, ...]
    steps: int
    choices: tuple[int, ...] | None
    guidance: float | None

    def arguments(self, seeds: np.ndarray) -> dict[str, Any]:
        """Return the arguments for a Sampler's method that draws images of seeds int64 [N]."""
        labels = None if self.choices is None else np.array(self.choices)[seeds % len(self.choices)]
        return {"steps": self.steps, "labels": labels, "guidance": self.guidance}

    def record(self, bundle: Bundle, scale: int) -> dict[str, Any]:
        """Return everything that determines the pixels of a seed, as JSON has it."""
        guidance = bundle.default_guidance if self.guidance is None else self.guidance
        conditioning = {"label": self.choices and list(self.choices), "guidance": guidance}
        return {
            "bundle": bundle.path.name,
            "sampler_sha256": bundle.graph("sampler").sha256,
            "steps": self.steps,
            "scale": scale,
            **(conditioning if bundle.class_names else {}),
        }


@flag_errors()
def checked_settings(
    values: Mapping[str, Any], bundle: Bundle, graphs: tuple[str, ...]
) -> Settings:
    """Return the settings that the flags name; UsageError if these graphs cannot follow them."""
    baked = not {"sampler", "from_noise"}.isdisjoint(graphs)
    steps = checked_steps(bundle, values["steps"], values["guidance"], baked=baked)
    names, guidance = values["label"], values["guidance"]
    if not bundle.class_names:
        checked_conditioning(bundle, names and ",".join(names), guidance)
        return Settings(graphs, steps, None, None)
    choices = names and tuple(_class_number(bundle, name) for name in names)
    checked_conditioning(bundle, choices, guidance, count=len(choices or ()))
    return Settings(graphs, steps, choices, guidance)


def _class_number(bundle: Bundle, text: str) -> int:
    """Return the class of this name or number; a name comes first, and "none" may be one."""
    if text == "none" and text not in bundle.class_names:
        return NO_LABEL
    is_number = text not in bundle.class_names and re.fullmatch("-?[0-9]{1,19}", text)
    return class_number(bundle, int(text) if is_number else text)
