"""A device at hand for a search: opened by its target's name, profiled where it has no table yet, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

from nas.devices.device import Device
from nas.devices.find import Ways, open_device
from nas.devices.names import DeviceName, device_name
from nas.errors import NasError
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import check_device, measure_networks, verify
from nas.space.space import Space
from nas.system.teller import Teller, stage
from nas.tables.table import LatencyTable, load_table
from nas.tables.target import table_folder

__all__ = ["attached", "have_table", "measure_networks", "verify"]


PLAIN = Ways()
POOLED = ("ssh", "adb")
"""Kinds of devices that a pool may have."""


@contextmanager
def attached(target: str, ways: Ways = PLAIN) -> Iterator[Device]:
    """The device that a target names; let go of at the end. Raises `NasError` where it names none."""
    device = open_device(named(target), ways)
    try:
        yield device
    finally:
        device.close()


@contextmanager
def together(targets: Sequence[str], workers: str | None, teller: Teller, ways: Ways = PLAIN) -> Iterator[Device]:
    """The device that a target names, or the pool of boards that several do; the table is the first one's.

    Raises `NasError` where they cannot be a pool, or `workers` are not there to drive it.
    """
    if len(targets) == 1 and workers is None:
        with attached(targets[0], ways) as device:
            yield device
        return
    names = [named(target) for target in targets]
    if len(set(targets)) < max(2, len(targets)):
        raise NasError("A pool is of several boards: give --target once for each, and each once.")
    for name in names:
        if name.kind not in POOLED or name.threads != names[0].threads:
            raise NasError(
                f"A pool is of boards of one kind with as many threads, {' or '.join(POOLED)}, got {name.text!r}."
            )
    if workers != "ray":
        raise NasError("Several boards are measured at once by Ray, from this machine: add --workers ray.")
    from nas.devices.pool import Pool
    from nas.workers.on_ray import OnRay

    with closing(OnRay(None, teller)) as ray:
        pool = Pool({name.text: partial(open_device, name, ways) for name in names}, ray, teller)
        with closing(pool):
            yield pool


def named(target: str) -> DeviceName:
    """The device that a target names. Raises `NasError` where it names a table."""
    name = device_name(target)
    if name is None:
        raise NasError(
            f"{target!r} is no device: a device is cpu, cpu:4t, ssh:HOST, adb:SERIAL, … (see `nas devices`)."
        )
    return name


def device_of(target: str, table: LatencyTable) -> str:
    """The device to hold a table against: the target itself, or the one that the table's header names."""
    if device_name(target) is not None:
        return target
    if table.header.target is None:
        raise NasError(f"{table.name} names no device to measure on. Give one: --target cpu, ssh:HOST, adb:SERIAL, …")
    return table.header.target


def have_table(target: str, space: Space, device: Device, teller: Teller) -> None:
    """Measure what a target's table lacks of a space: all of it, or layers of which a space of the same name had none.

    Raises `TableError` where the table there is of another device: a runtime of another version, for example.
    """
    folder = table_folder(named(target), space.name)
    if (folder / "table.yaml").is_file():
        table = load_table(folder)
        check_device(table, device)
        missing = len(table.without_row(space.layers()))
        if not missing:
            return
        teller.say(
            f"{table.name} is of another space named {space.name}: {missing} of the {len(space.layers())} layers of "
            "this one have no row there, and are measured now"
        )
    else:
        teller.say(f"{target} has no table of {space.name} yet: it is measured now, into {folder}")
    stage(teller, "profile")
    profile(space, target, device, folder, Effort(), teller)
