"""With the images on disk or nowhere, memory does not grow with their number."""

import sys
from pathlib import Path

import pytest
from forked_commands import run_command
from pictures import save_linked

SMALL, LARGE, SIZE = 64, 2048, 256

# Anonymous memory, since the page cache of files is the system's to give away. The cache that grows
# comes last, and each small folder before the large one, so that what TensorFlow and the allocator
# keep is in both of its figures.
MEASURE = """
import re, sys
from itertools import islice
from pathlib import Path
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import load_images

def anonymous_bytes():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def peak_bytes(folder, cache):
    settings = {"data": f"folder:{folder}", "cache": cache, "image_size": 256, "batch_size": 32}
    config = preset_config("tiny", **settings)
    images = load_images(config, cache_dir=Path(folder).with_name("cache"))
    images.summary()
    steps = islice(batches(images.train, config, first_step=0), max(16, len(images.train) // 32))
    return max(anonymous_bytes() for _ in steps)

for cache in ("none", "disk", "memory"):
    print(*(peak_bytes(folder, cache) for folder in sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_grows_with_the_folder_only_where_it_should(tmp_path: Path) -> None:
    for name, count in (("small", SMALL), ("large", LARGE)):
        save_linked(tmp_path / name, count, size=SIZE, detail=8)
    folders = (tmp_path / "small", tmp_path / "large")
    result = run_command([sys.executable, "-c", MEASURE, *folders])
    assert result.returncode == 0, result.stderr
    shares = []
    for line in result.stdout.splitlines():
        small, large = map(int, line.split())
        shares.append((large - small) / (LARGE * SIZE * SIZE * 3))
    none, disk, memory = shares
    # The large folder takes 400 MB decoded. A few batches of 6 MB more or fewer under way, each in
    # several copies, and what the allocator keeps of them, were up to 45 MB.
    assert none < 1 / 4
    assert disk < 1 / 4
    assert memory > 3 / 4
