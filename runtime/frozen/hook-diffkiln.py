"""What PyInstaller puts into an app beside the code of diffkiln's runtime."""

from PyInstaller.utils.hooks import (  # pyright: ignore[reportMissingModuleSource]
    collect_data_files,
    copy_metadata,
)

# The schema of the manifest and the bundled flowers; and what --version reads.
datas = [*collect_data_files("diffkiln.runtime"), *copy_metadata("diffkiln")]
