"""Archives: tar (also by gzip, bzip2 or xz) and zip, read member by member. Nothing is extracted.

member.py has what all have in common, and the bounds; tar.py and zip.py read one format each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nas.data.member import Bounds, Member, whole
from nas.data.tar import tar_members
from nas.data.zip import MARKS, zip_members
from nas.system.files import open_plain


def members(path: Path) -> Iterator[Member]:
    """The plain files and folders of an archive, in its order. Raises `DataError` where it is cut short or damaged."""
    with whole(path), open_plain(path) as raw:
        read = zip_members if raw.read(4) in MARKS else tar_members
        raw.seek(0)
        yield from read(path, raw, Bounds(path, os.fstat(raw.fileno()).st_size))
