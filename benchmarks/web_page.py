"""What a visitor of the web page waits for, in headless Chromium, for several bundles in turns.

    python benchmarks/web_page.py --bundles=student.bundle:4,teacher.bundle:20

Prints for each bundle, in its count of steps, the median milliseconds to open the bundle from this
machine, to draw a first picture, to draw it with another guidance, and to draw twenty; and all of
them as a share of the last bundle's. The bundles know classes and have `noise` and `step` graphs.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl import app, flags
from example_programs import built_page, use_page

FLAGS = flags.FLAGS
flags.DEFINE_list("bundles", None, "folders and steps, each as FOLDER:STEPS", required=True)
flags.DEFINE_integer("rounds", 5, "rounds, after one to warm up", lower_bound=1)


def times(site: Path) -> list[list[dict[str, float]]]:
    """The milliseconds of each bundle in each round; they are copied to the site."""
    ways = []
    for number, way in enumerate(FLAGS.bundles):
        folder, _, steps = way.rpartition(":")
        shutil.copytree(folder, site / f"{number}.bundle")
        ways.append({"bundle": f"{number}.bundle", "steps": int(steps)})
    written, rounds = site.parent / "times.json", str(FLAGS.rounds + 1)
    variables = {"WEB_WAYS": json.dumps(ways), "WEB_ROUNDS": rounds, "WEB_TIMES": str(written)}
    use_page(site, "time", **variables)
    return json.loads(written.read_text(encoding="utf-8"))[1:]


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(shutil.copytree(built_page(), f"{folder}/site"))
        rounds = times(site)
    for number, way in enumerate(FLAGS.bundles):
        print(way)
        for name in rounds[0][0]:
            ours, last = (np.array([each[k][name] for each in rounds]) for k in (number, -1))
            share = np.median(ours / last)
            print(f"  {name:9} {np.median(ours):6.0f} ms, {share:.2f} of the last bundle's")


if __name__ == "__main__":
    app.run(main)
