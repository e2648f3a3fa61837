"""Batches: functions of their number, augmented as told, quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import Data, DataError, Split, load_data
from nas.data.batches import Augmentation, batches_per_epoch, evaluation_batches, picture_tensor, train_batch

PLAIN = Augmentation(crop=False, mirror=False)


def numbered(count: int, resolution: int, side: int, mirrors: bool = True) -> Data:
    """Pictures of which the red says which, the green the column, the blue the row; not normalised."""
    pictures = np.empty((count, side, side, 3), np.uint8)
    pictures[..., 0] = np.arange(count)[:, None, None] + 1
    pictures[..., 1] = np.arange(side) + 1
    pictures[..., 2] = np.arange(side)[:, None] + 1
    split = Split(pictures, np.arange(count) % 3)
    grey = (0.0, 0.0, 0.0)
    unit = (1 / 255, 1 / 255, 1 / 255)  # so that x is the level itself
    return Data("test", ("a", "b", "c"), resolution, split, split, split, grey, unit, mirrors, "0" * 64)


def levels(x: torch.Tensor) -> np.ndarray:
    """int[N, S, S, 3]"""
    return np.rint(x.permute(0, 2, 3, 1).numpy()).astype(int)


def test_an_epoch_sees_each_picture_once_and_the_next_in_another_order() -> None:
    data = numbered(24, 4, 4)
    steps = [levels(train_batch(data, step, 8, 0, PLAIN)[0])[:, 0, 0, 0] for step in range(6)]
    first, second = np.concatenate(steps[:3]), np.concatenate(steps[3:])
    assert sorted(first) == sorted(second) == list(range(1, 25))
    assert first.tolist() != second.tolist()


def test_what_the_last_whole_batch_leaves_waits_for_the_next_epoch() -> None:
    data = numbered(10, 4, 4)
    assert batches_per_epoch(10, 4) == 2
    seen = np.concatenate([levels(train_batch(data, step, 4, 0, PLAIN)[0])[:, 0, 0, 0] for step in range(2)])
    assert len(set(seen)) == 8


def test_a_split_smaller_than_a_batch_wraps_around() -> None:
    x, y = train_batch(numbered(3, 4, 4), 5, 8, 0, PLAIN)
    assert len(x) == len(y) == 8
    assert np.bincount(levels(x)[:, 0, 0, 0])[1:].min() == 2  # 8 of 3: three, three and two times


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(cutout=0.5, mixup=0.4)])
def test_a_batch_is_a_function_of_its_number(augmentation: Augmentation) -> None:
    data = numbered(40, 16, 16)
    x, y = train_batch(data, 7, 8, 3, augmentation)
    for step in (0, 11, 3):
        train_batch(data, step, 8, 3, augmentation)
    again_x, again_y = train_batch(data, 7, 8, 3, augmentation)
    assert torch.equal(x, again_x)
    assert torch.equal(y, again_y)
    assert not torch.equal(x, train_batch(data, 7, 8, 4, augmentation)[0])
    assert not torch.equal(x, train_batch(data, 8, 8, 3, augmentation)[0])


def test_forms() -> None:
    x, y = train_batch(numbered(40, 16, 16), 0, 8, 0, Augmentation())
    assert x.shape == (8, 3, 16, 16)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_crops_come_from_the_larger_picture() -> None:
    data = numbered(200, 96, 110, mirrors=False)
    x, _ = train_batch(data, 0, 200, 0, Augmentation())
    left, top = levels(x)[:, 0, 0, 1] - 1, levels(x)[:, 0, 0, 2] - 1
    assert left.min() == top.min() == 0
    assert left.max() == top.max() == 110 - 96
    assert (levels(x)[:, 0, :, 1] == left[:, None] + np.arange(96) + 1).all()
    assert (levels(x)[:, :, 0, 2] == top[:, None] + np.arange(96) + 1).all()
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.3


def test_small_pictures_are_padded_in_black() -> None:
    data = numbered(200, 16, 16, mirrors=False)
    x, _ = train_batch(data, 0, 200, 0, Augmentation())
    middle = levels(x)[:, 8, 8]  # padding of 16 // 8 = 2: moved by -2..2
    assert set(middle[:, 1]) == set(range(7, 12))
    corner = levels(x)[:, 0, 0]
    outside = (middle[:, 1] < 9) | (middle[:, 2] < 9)  # moved right or down: the corner is padding
    assert (corner[outside] == 0).all()
    assert (corner[~outside, 0] > 0).all()


def test_every_second_picture_is_mirrored_where_that_means_the_same() -> None:
    augmentation = Augmentation(crop=False)
    x, _ = train_batch(numbered(200, 8, 8), 0, 200, 0, augmentation)
    mirrored = levels(x)[:, 0, 0, 1] == 8
    assert 70 < mirrored.sum() < 130
    assert (levels(x)[mirrored][:, 0, :, 1] == np.arange(8, 0, -1)).all()
    x, _ = train_batch(numbered(200, 8, 8, mirrors=False), 0, 200, 0, augmentation)
    assert (levels(x)[:, 0, 0, 1] == 1).all()


def test_cutout_makes_one_square_hole_a_picture() -> None:
    data = numbered(100, 16, 16)
    x, _ = train_batch(data, 0, 100, 0, replace(PLAIN, cutout=0.25))
    holes = levels(x)[..., 0] == 0
    sizes = holes.sum(axis=(1, 2))
    assert sizes.max() == 4 * 4  # a quarter of 16, squared
    assert sizes.min() >= 2 * 2  # around a corner
    assert (holes.any(axis=1).sum(axis=1) * holes.any(axis=2).sum(axis=1) == sizes).all()


def test_mixup_mixes_pictures_and_labels_alike() -> None:
    data = numbered(60, 4, 4)
    x, y = train_batch(data, 0, 30, 0, replace(PLAIN, mixup=1.0))
    assert y.shape == (30, 3)
    assert y.dtype == torch.float32
    assert torch.allclose(y.sum(dim=1), torch.ones(30))
    assert ((y > 0.01).sum(dim=1) == 2).any()
    assert x.is_contiguous(memory_format=torch.channels_last)
    plain = train_batch(data, 0, 30, 0, PLAIN)[0].mean()
    assert x[:, 1:].mean() == pytest.approx(2.5, abs=1e-4)  # rows and columns are the same in every picture: 1 to 4
    assert abs(float(x.mean() - plain)) < 3


@pytest.mark.parametrize("options", [{"cutout": 1.5}, {"cutout": -0.1}, {"mixup": -1.0}, {"mixup": float("nan")}])
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(DataError, match="got"):
        Augmentation(**options)


def test_an_empty_split_is_refused() -> None:
    data = numbered(6, 4, 4)
    with pytest.raises(DataError, match="no pictures to train with"):
        train_batch(data, 0, 4, 0, PLAIN, split=data.train.take(np.arange(0)))


def test_evaluation_sees_the_centres_in_order() -> None:
    data = numbered(10, 96, 110)
    batches = list(evaluation_batches(data, data.test, 4))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert torch.cat([y for _, y in batches]).tolist() == data.test.labels.tolist()
    x = levels(torch.cat([x for x, _ in batches]))
    assert x[:, 0, 0].tolist() == [[number, 8, 8] for number in range(1, 11)]  # (110 - 96) / 2 = 7 left out
    assert x.shape == (10, 96, 96, 3)


def test_normalised_with_the_training_pictures() -> None:
    data = load_data("digits", 16)
    x = picture_tensor(data, data.train.pictures)
    assert torch.allclose(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(x.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)


@pytest.mark.parametrize("side", [96, 110])
def test_memory_mapped_pictures(tmp_path: Path, side: int) -> None:
    path = tmp_path / "pictures.npy"
    data = numbered(20, 96, side)
    np.save(path, data.train.pictures)
    mapped = Split(np.load(path, mmap_mode="r"), data.train.labels)
    for step in range(3):
        x, _ = train_batch(data, step, 8, 0, Augmentation())
        assert torch.equal(train_batch(data, step, 8, 0, Augmentation(), split=mapped)[0], x)
    assert all(torch.isfinite(x).all() for x, _ in evaluation_batches(data, mapped, 8))
