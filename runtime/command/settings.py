"""What the images of a task are drawn with: the steps, the classes, the guidance, conditions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..engine.arguments import checked_steps
from ..engine.conditioning import NO_LABEL, checked_labels_and_guidance, class_number
from .conditions import Conditions, conditions_of
from .options import flag_errors


class Settings(NamedTuple):
    """`graphs` are run; `choices` are the classes to show, number s mod their count for seed s.

    None leaves the classes, and the guidance, to the sampler.
    """

    graphs: tuple[str, ...]
    steps: int
    choices: tuple[int, ...] | None
    guidance: float | None
    conditions: Conditions | None = None

    def arguments(self, seeds: np.ndarray, numbers: np.ndarray | None = None) -> dict[str, Any]:
        """Return the arguments for a Sampler's method that draws images of seeds int64 [N].

        `numbers` are those of the images in the job, where they are not their seeds.
        """
        labels = None if self.choices is None else np.array(self.choices)[seeds % len(self.choices)]
        given = self.conditions and self.conditions.of(seeds if numbers is None else numbers)
        return {
            "steps": self.steps,
            "labels": labels,
            "guidance": self.guidance,
            "conditions": given,
        }

    def record(self, bundle: Bundle, scale: int) -> dict[str, Any]:
        """Return everything that determines the pixels of a seed, as JSON has it."""
        guidance = bundle.default_guidance if self.guidance is None else self.guidance
        label = {"label": self.choices and list(self.choices)} if bundle.class_names else {}
        return {
            "bundle": bundle.path.name,
            "sampler_sha256": bundle.graph("sampler").sha256,
            "steps": self.steps,
            "scale": scale,
            **label,
            **({"guidance": guidance} if bundle.is_guided else {}),
            **(self.conditions.record() if self.conditions else {}),
        }


@flag_errors()
def checked_settings(
    values: Mapping[str, Any], bundle: Bundle, graphs: tuple[str, ...], made: Sequence[str] = ()
) -> Settings:
    """Return the settings that the flags name; UsageError if these graphs cannot follow them.

    The task makes the conditions that are `made`.
    """
    baked = not {"sampler", "from_noise"}.isdisjoint(graphs)
    steps = checked_steps(bundle, values["steps"], values["guidance"], baked=baked)
    names, guidance = values["label"], values["guidance"]
    choices: Any = names and ",".join(names)  # which a model without classes refuses
    if names and bundle.class_names:
        choices = tuple(_class_number(bundle, name) for name in names)
    checked_labels_and_guidance(bundle, choices, guidance, count=len(choices or ()))
    return Settings(graphs, steps, choices, guidance, conditions_of(values, bundle, made))


def _class_number(bundle: Bundle, text: str) -> int:
    """Return the class of this name or number; a name comes first, and "none" may be one."""
    if text == "none" and text not in bundle.class_names:
        return NO_LABEL
    is_number = text not in bundle.class_names and re.fullmatch("-?[0-9]{1,19}", text)
    return class_number(bundle, int(text) if is_number else text)
