"""With the images on disk or nowhere, memory does not grow with their number."""

import subprocess
import sys
from pathlib import Path

import pytest
from pictures import save_linked

SMALL, LARGE, SIZE = 64, 2048, 256

# Anonymous memory, since the page cache of files is the system's to give away. The small folder
# comes first, so that what TensorFlow and the allocator keep is in its figure as well.
MEASURE = """
import re, sys
from itertools import islice
from pathlib import Path
import numpy as np
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.data.batches import batches, load_images

def anonymous_bytes():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

cache, *folders = sys.argv[1:]
for folder in folders:
    settings = {"data": f"folder:{folder}", "cache": cache, "image_size": 256, "batch_size": 32}
    config = preset_config("tiny", **settings)
    images = load_images(config, cache_dir=Path(folder).with_name("cache"))
    images.summary()
    steps = islice(batches(images.train, config, first_step=0), 2048 // 32)
    print(max(anonymous_bytes() for _ in steps))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize(("cache", "grows"), [("memory", True), ("disk", False), ("none", False)])
def test_memory_grows_with_the_folder_only_where_it_should(
    tmp_path: Path, cache: str, grows: bool
) -> None:
    for name, count in (("small", SMALL), ("large", LARGE)):
        save_linked(tmp_path / name, count, size=SIZE)
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, cache, tmp_path / "small", tmp_path / "large"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    small, large = map(int, result.stdout.split())
    share = (large - small) / (LARGE * SIZE * SIZE * 3)
    # The large folder takes 400 MB decoded. A few batches of 6 MB more or fewer under way, each in
    # several copies, and what the allocator keeps of them, were up to 45 MB.
    assert share > 3 / 4 if grows else share < 1 / 4
