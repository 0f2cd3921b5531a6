"""The settings of a run that distils another: what a student is, and what it learns from."""

import itertools
from typing import TYPE_CHECKING

from .choices import (
    FEWEST_TABLE_STEPS,
    MOST_GUIDANCE,
    MOST_TABLE_STEPS,
    check_integer,
    require,
)

if TYPE_CHECKING:
    from .train import TrainConfig


def check_distillation(config: "TrainConfig") -> None:
    """Check the settings of a student, and that other runs have none of them."""
    if config.distill_from is None:
        for name in ("student_steps", "teacher_steps", "guidance_range"):
            value = getattr(config, name)
            problem = "only a student has it; give distill_from too, or leave it out"
            require(value in (None, ()), f"{name}={value}: {problem}")
        return
    task, steps, within = config.task, config.student_steps, config.guidance_range
    problem = f"its task is {task}, and only networks that draw from seeds can be distilled"
    require(task == "generation", f"distill_from={config.distill_from}: {problem}; give another")
    shown = ",".join(map(str, steps))
    least, most = FEWEST_TABLE_STEPS, MOST_TABLE_STEPS
    rising = all(a < b for a, b in itertools.pairwise(steps))
    expected = f"expected counts of steps from {least} to {most}, in rising order, such as 2,3,4"
    require(bool(steps) and rising, f"student_steps={shown}: {expected}")
    for each in steps:
        check_integer("student_steps", each, least, most)
    if config.num_classes is None:
        problem = "the teacher knows no classes; leave it out"
        require(within is None, f"guidance_range={within}: {problem}")
        return
    ends = within or ()
    fits = len(ends) == 2 and 0 <= ends[0] <= 1 <= ends[1] <= MOST_GUIDANCE and ends[0] < ends[1]
    expected = f"expected the least guidance, from 0 to 1, and the greatest, to {MOST_GUIDANCE:g}"
    require(fits, f"guidance_range={','.join(f'{end:g}' for end in ends)}: {expected}")
