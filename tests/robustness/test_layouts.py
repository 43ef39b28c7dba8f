"""Good input in any layout gives the answer of a contiguous copy, and is left alone."""

import numpy as np
import pytest

from tests.robustness.entry_points import ARGUMENTS, ENTRY_POINTS, flat


def _strided(a):
    """Every second element of a larger array, along every axis."""
    big = np.full(tuple(2 * n for n in a.shape), 77, dtype=a.dtype)
    view = big[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _reversed(a):
    """Negative strides along every axis."""
    back = tuple(slice(None, None, -1) for _ in a.shape)
    return np.ascontiguousarray(a[back])[back]


def _frozen(a):
    out = a.copy()
    out.flags.writeable = False
    return out


def _swapped(a):
    """The other byte order, as in files of other machines."""
    return a.astype(a.dtype.newbyteorder())


def _unaligned(a):
    """One byte off, as in packed records."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    out = raw[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


LAYOUTS = {
    "read-only": _frozen,
    "column-major": np.asfortranarray,
    "strided": _strided,
    "negative strides": _reversed,
    "byte order": _swapped,
    "unaligned": _unaligned,
}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_layout_does_not_matter(name):
    point = ENTRY_POINTS[name]
    expected = flat(point.call(**{key: a.copy() for key, a in point.arrays.items()}))
    for layout, change in LAYOUTS.items():
        given = {key: change(a) for key, a in point.arrays.items()}
        found = flat(point.call(**given))
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            scale = np.abs(b).max() if b.size else 0.0
            np.testing.assert_allclose(a, b, rtol=point.rtol, atol=point.rtol * scale, err_msg=layout)
        for key, a in given.items():
            np.testing.assert_array_equal(a, point.arrays[key], err_msg=f"{layout}: {key} was changed")


@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
def test_lists_are_arrays(name, key):
    point = ENTRY_POINTS[name]
    expected = flat(point.call(**point.arrays))
    for a, b in zip(flat(point.call(**{**point.arrays, key: point.arrays[key].tolist()})), expected, strict=True):
        scale = np.abs(b).max() if b.size else 0.0
        np.testing.assert_allclose(a, b, rtol=point.rtol, atol=point.rtol * scale)
