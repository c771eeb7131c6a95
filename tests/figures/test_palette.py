"""The colours stay apart, to every kind of eye and on both themes."""

import numpy as np
import pytest
from colorspacious import cspace_convert

from mixviz.figures.palette import COLOURS, NEUTRAL, RGB, codes, colour, ink, sequential_rgb

DARK = np.array([[14, 17, 23]]) / 255


def as_seen(rgb: np.ndarray, deficiency: str) -> np.ndarray:
    if deficiency != "none":
        space = {"name": "sRGB1+CVD", "cvd_type": deficiency, "severity": 100}
        rgb = np.clip(cspace_convert(rgb, space, "sRGB1"), 0, 1)
    return cspace_convert(rgb, "sRGB1", "CAM02-UCS")


def least_distance(rgb: np.ndarray, deficiency: str) -> float:
    seen = as_seen(rgb, deficiency)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return distances[~np.eye(len(seen), dtype=bool)].min()


def luminance(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize(
    ("deficiency", "first", "everything"),
    [
        ("none", 19.0, 5.4),
        ("protanomaly", 18.0, 5.4),
        ("deuteranomaly", 17.9, 5.3),
        ("tritanomaly", 17.9, 5.3),
    ],
)
def test_colours_stay_apart(deficiency, first, everything):
    rgb = RGB[: len(COLOURS)] / 255
    assert least_distance(rgb[:10], deficiency) > first
    assert least_distance(rgb, deficiency) > everything


def test_colours_are_seen_on_both_themes():
    own = luminance(RGB / 255) + 0.05
    assert (1.05 / own).min() > 1.5
    assert (own / (luminance(DARK) + 0.05)).min() > 3


def test_numbers_are_read_on_their_colour():
    for k in range(len(COLOURS)):
        own = luminance(RGB[k] / 255) + 0.05
        assert (own / 0.05 if ink(k) == "#000000" else 1.05 / own) > 3


def test_colours_are_fifty_and_repeat():
    assert len(set(COLOURS)) == 50
    assert NEUTRAL not in COLOURS
    assert colour(3) == colour(53) == COLOURS[3]
    assert "#{:02x}{:02x}{:02x}".format(*RGB[3]) == COLOURS[3]


def test_codes_repeat_and_know_the_unknown():
    assert codes(np.array([0, 49, 50, -1], np.int16)).tolist() == [0, 49, 0, 50]


def test_sequential_scale_grows_lighter_and_survives_nan():
    rgb = sequential_rgb(np.array([0, 0.25, 0.5, 0.75, 1, np.nan]))
    assert (np.diff(luminance(rgb[:5] / 255)) > 0).all()
    assert rgb[5].tolist() == RGB[50].tolist()
