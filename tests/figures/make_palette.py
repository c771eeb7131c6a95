"""Search for the palette in `mixviz.figures.palette`; run as a script, it prints the constants.

Farthest-point sampling of sRGB under the smallest of four CAM02-UCS distances: normal vision and
simulated protanopia, deuteranopia and tritanopia. The first colours are then moved one at a time
while that widens the smallest distance between them.
"""

import numpy as np
from colorspacious import cspace_convert

FIRST, ALL = 10, 50
DEFICIENCIES = ("protanomaly", "deuteranomaly", "tritanomaly")
LIGHTNESS = (36, 75)
DARKEST = (14 / 255, 17 / 255, 23 / 255)  # the dark theme's background


def views(rgb: np.ndarray) -> np.ndarray:
    """CAM02-UCS coordinates of sRGB colours (n, 3) to four kinds of eyes: (4, n, 3)."""
    seen = [rgb]
    for kind in DEFICIENCIES:
        space = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
        seen.append(np.clip(cspace_convert(rgb, space, "sRGB1"), 0, 1))
    return np.stack([cspace_convert(each, "sRGB1", "CAM02-UCS") for each in seen])


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least distance over the views between colours `a` (4, n, 3) and one colour (4, 3): (n,)."""
    return np.linalg.norm(a - b[:, None], axis=-1).min(0)


def candidates() -> np.ndarray:
    """sRGB colours (n, 3) that are seen on white and on near-black."""
    ticks = np.arange(0, 256, 9) / 255
    rgb = np.stack(np.meshgrid(ticks, ticks, ticks), -1).reshape(-1, 3)
    lightness, chroma, _ = cspace_convert(rgb, "sRGB1", "JCh").T
    return rgb[(lightness > LIGHTNESS[0]) & (lightness < LIGHTNESS[1]) & (chroma > 20)]


def nearest(seen: np.ndarray, chosen: list[int], grounds: np.ndarray) -> np.ndarray:
    """Distance of every candidate to the nearest chosen colour or background: (n,)."""
    others = [seen[:, index] for index in chosen] + [grounds[:, i] for i in range(2)]
    return np.min([distance(seen, other) for other in others], axis=0)


def search(seen: np.ndarray, grounds: np.ndarray, start: int) -> tuple[float, list[int]]:
    """Choose the first colours; return their smallest distance and their indices."""
    chosen = [start]
    while len(chosen) < FIRST:
        chosen.append(int(nearest(seen, chosen, grounds).argmax()))
    moved = True
    while moved:
        moved = False
        for position in range(FIRST):
            others = chosen[:position] + chosen[position + 1 :]
            room = nearest(seen, others, grounds)
            if room.max() > room[chosen[position]] + 1e-9:
                chosen[position], moved = int(room.argmax()), True
    return min(nearest(seen, chosen[:i], grounds)[chosen[i]] for i in range(1, FIRST)), chosen


def main() -> None:
    """Print the palette."""
    rgb = candidates()
    seen, grounds = views(rgb), views(np.array([(1, 1, 1), DARKEST]))
    starts = np.random.default_rng(0).choice(len(rgb), 12, replace=False)
    _, first = max(search(seen, grounds, int(start)) for start in starts)
    chosen: list[int] = []
    while first:
        room = nearest(seen, chosen, grounds)
        chosen.append(max(first, key=lambda index: room[index]))
        first.remove(chosen[-1])
    while len(chosen) < ALL:
        chosen.append(int(nearest(seen, chosen, grounds).argmax()))
    for index in chosen:
        print("#" + "".join(f"{round(255 * channel):02x}" for channel in rgb[index]))


if __name__ == "__main__":
    main()
