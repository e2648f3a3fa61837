"""`digits`: the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, for first steps."""

from __future__ import annotations

import numpy as np

from nas.data.source import Source, array_source
from nas.data.splits import TEST_SHARE, stratified
from nas.errors import DataError


def load_digits(argument: str) -> Source:
    """The digits; their test split is fixed, whatever the seed."""
    if argument:
        raise DataError(f"`digits` takes no argument, got {argument[:60]!r}.")
    from sklearn import datasets  # a second to import

    digits = datasets.load_digits()
    pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    train, test = stratified(labels, np.arange(len(labels)), TEST_SHARE, np.random.default_rng(0))
    classes = tuple(map(str, range(10)))
    return array_source("digits", pictures, labels, {"train": train, "test": test}, classes, mirrors=False)
