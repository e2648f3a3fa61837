"""The shipped accuracy predictor of `mobile`, read with numpy alone."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

ROOT = Path(__file__).resolve().parents[2]
ARRAYS = ROOT / "nas/accuracy/mobile.npz"
SHAPES = [(4 if stage == 6 else 3, 2, 3, 2) for stage in range(1, 8)]  # depth, kernel, expansion, SE
CODES = [36, 36, 36, 36, 36, 48, 36]  # 3 * 2 * 3 * 2; in stage 6 4 * 2 * 3 * 2
PAIRS = list(combinations(range(1, 8), 2))


@pytest.fixture(scope="module")
def arrays():
    with np.load(ARRAYS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def networks(measured):
    """Stage codes int64[N, 7] and proxy top-1 float64[N] of the file that the arrays were fitted on."""
    frame = pd.read_csv(measured / "accel_nasbench/accel_nasbench_train.csv.gz")
    codes = [
        np.ravel_multi_index(
            (
                frame[f"block{b}_l"] - 1,
                (frame[f"block{b}_k"] - 3) // 2,
                np.searchsorted((1, 4, 6), frame[f"block{b}_e"]),
                frame[f"block{b}_se"],
            ),
            SHAPES[b],
        )
        for b in range(7)
    ]
    return np.stack(codes, axis=1), frame["val_top1"].to_numpy()


def predict(arrays, codes):
    out = arrays["constant"] + sum(arrays[f"stage_{s}"][codes[:, s - 1]] for s in range(1, 8))
    return out + sum(arrays[f"pair_{s}_{t}"][codes[:, s - 1], codes[:, t - 1]] for s, t in PAIRS)


def sigma(arrays, codes):
    log_variance = arrays["sigma_constant"] + sum(arrays[f"sigma_stage_{s}"][codes[:, s - 1]] for s in range(1, 8))
    return np.exp(0.5 * log_variance)


def test_every_array_is_there_with_its_shape(arrays):
    expected = {"constant": (), "sigma_constant": (), "loo_residual_std": ()}
    expected |= {f"{kind}_{s}": (CODES[s - 1],) for kind in ("stage", "sigma_stage") for s in range(1, 8)}
    expected |= {f"pair_{s}_{t}": (CODES[s - 1], CODES[t - 1]) for s, t in PAIRS}
    numbers = {name: array for name, array in arrays.items() if name != "meta"}
    assert {name: array.shape for name, array in numbers.items()} == expected
    assert all(array.dtype == np.float64 and np.isfinite(array).all() for array in numbers.values())
    assert ARRAYS.stat().st_size < 1_500_000


def test_the_file_says_what_it_is(arrays):
    meta = json.loads(str(arrays["meta"]))
    assert meta["target"] == "proxy top-1 %"
    assert meta["licence"] == "Apache-2.0"
    assert meta["decisions"]["stage6.depth"] == [1, 2, 3, 4]
    assert len(meta["decisions"]) == 28
    assert meta["networks"] == 4623
    assert meta["kendall_tau"] >= 0.92
    assert meta["mae_points"] <= 0.33
    assert 0.33 < meta["sigma"] < 0.45  # a root mean square is no smaller than the mean absolute error


def test_terms_are_centred(arrays):
    """Each term averages to zero over each of its stages, so `constant` is the mean over uniformly drawn options."""
    for s in range(1, 8):
        assert abs(arrays[f"stage_{s}"].mean()) < 1e-9
    for s, t in PAIRS:
        for axis in (0, 1):
            assert np.abs(arrays[f"pair_{s}_{t}"].mean(axis)).max() < 1e-9


def test_predictions_on_the_networks_it_was_fitted_on(arrays, networks):
    codes, top1 = networks
    errors = predict(arrays, codes) - top1
    assert np.abs(errors).mean() < 0.33
    assert kendalltau(predict(arrays, codes), top1).statistic > 0.92


def test_sigma_is_that_of_an_unseen_network(arrays, networks):
    """It comes from left-out residuals, so it is no smaller than the errors on rows that were fitted."""
    codes, top1 = networks
    errors = predict(arrays, codes) - top1
    assert np.sqrt(np.mean((errors / sigma(arrays, codes)) ** 2)) < 1
