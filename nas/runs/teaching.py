"""Teaching: whether a network can teach another, and the teacher that it is."""

from __future__ import annotations

from nas.data.data import Data
from nas.runs.network import Network
from nas.training.network import check, network_of
from nas.training.teacher import Teacher

ASPECT = 0.05
"""Shares of a side by which the shapes of a teacher's and a pupil's pictures may differ: sides are whole numbers."""


def misfit(teacher: Network, data: Data) -> str | None:
    """Why this is no teacher for a pupil with this data; None where it is one. Raises `ArchitectureError`."""
    its, pictures = teacher.config.architecture, teacher.config.pictures
    check(its)
    if teacher.config.weights == "random":
        return "a teacher has trained weights, this one's are random. Train it first."
    for what, got, wanted in (
        ("classes", its.num_classes, len(data.classes)),
        ("colours", its.channels, len(data.mean)),
    ):
        if got != wanted:
            return f"a teacher has the {what} of its pupil, {wanted:,}, got {got:,}."
    height, width = data.size
    if abs(its.height * width / (its.width * height) - 1) > ASPECT:
        return (
            "a teacher's pictures have the shape of its pupil's, of any size, "
            f"{height:,} × {width:,}, got {its.height:,} × {its.width:,}."
        )
    if pictures and pictures.classes not in ((), data.classes):
        return "a teacher has the classes of its pupil, these have other names."
    return None


def teacher_for(teacher: Network, data: Data) -> Teacher:
    """A network, of which nothing is a `misfit`, as one that sees a pupil's batches. Raises `ArchitectureError`."""
    architecture, pictures = teacher.config.architecture, teacher.config.pictures or data
    assert teacher.weights is not None
    network = network_of(architecture, teacher.weights)
    return Teacher(network, (architecture.height, architecture.width), pictures.mean, pictures.std, data)
