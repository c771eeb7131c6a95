"""Still pictures and animations: one frame per snapshot, safe to open anywhere."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from mixviz.figures.animation import animation_gif, animation_html
from mixviz.figures.latent import COLOURINGS
from mixviz.figures.palette import RGB
from mixviz.figures.still import latent_image

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"


def embedded(page: str) -> list[dict]:
    found = re.search(r'<script type="application/json" id="runs">(.*?)</script>', page, re.S)
    return json.loads(found[1])


@pytest.mark.parametrize("colour_by", COLOURINGS)
@pytest.mark.parametrize("state", ["snapshot", "diverged"])
def test_still_has_its_size_and_is_transparent(state, colour_by, subsample, request):
    picture = latent_image(
        request.getfixturevalue(state), subsample, size=(300, 200), colour_by=colour_by
    )
    assert picture.size == (300, 200) and picture.mode == "RGBA"
    alpha = np.asarray(picture)[..., 3]
    assert (alpha == 0).any()


def test_still_shows_contours_in_their_colours(subsample, make_snapshot):
    empty = make_snapshot(points=np.full((200, 2), np.nan, np.float32))
    pixels = np.asarray(latent_image(empty, subsample, size=(200, 200))).astype(int)
    for k in range(3):
        close = np.abs(pixels[..., :3] - RGB[k]).max(-1) < 8
        assert (close & (pixels[..., 3] > 200)).sum() > 20


def test_stills_from_many_threads_are_the_same(snapshot, subsample):
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(latent_image, snapshot, subsample, size=(120, 90)) for _ in range(8)]
    pictures = {job.result().tobytes() for job in jobs}
    assert len(pictures) == 1


def test_gif_has_a_frame_per_snapshot_and_tells_its_progress(subsample, make_snapshot):
    seen: list[float] = []
    moments = (make_snapshot(step) for step in (1, 50, 100, 2000))
    data = animation_gif(moments, subsample, progress=seen.append, size=(240, 200))
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "GIF" and picture.size == (240, 200) and picture.n_frames == 4
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_page_holds_every_step_of_every_run(subsample, make_snapshot, unpacked):
    runs = [
        ("first", [make_snapshot(step) for step in (0, 10, 20)], subsample),
        ("second", (make_snapshot(step) for step in (5, 10)), subsample),
    ]
    page = animation_html(runs, colour_by="component", points=50)
    first, second = embedded(page)
    assert [frame["step"] for frame in first["frames"]] == [0, 10, 20]
    assert [frame["step"] for frame in second["frames"]] == [5, 10]
    drawn = [
        unpacked(trace["x"])
        for trace in first["frames"][1]["data"]
        if trace["uid"].startswith("points-")
    ]
    expected = make_snapshot(10).points[::4, 0]
    np.testing.assert_array_equal(np.sort(np.concatenate(drawn)), np.sort(expected))
    assert first["frames"][1]["caption"] == "step 10 · z-prior 1.25 nats"


def test_page_needs_no_network(snapshot, subsample):
    page = animation_html([("run", [snapshot], subsample)], colour_by="label")
    assert "plotly.js v" in page
    assert not re.search(r"<(script|link|img)[^>]*\s(src|href)=", page.split("<body>")[0][:5000])
    assert "src=" not in page.split("<body>")[1].split("<script")[0]


def test_hostile_title_stays_text(snapshot, subsample):
    page = animation_html([(HOSTILE, [snapshot], subsample)], colour_by="component")
    assert HOSTILE not in page and "<img src=x" not in page
    (run,) = embedded(page)
    assert run["title"] == HOSTILE


def test_diverged_run_can_be_played(diverged, subsample):
    assert embedded(animation_html([("run", [diverged], subsample)], colour_by="confidence"))
    assert animation_gif([diverged], subsample, size=(100, 80))


def test_what_cannot_be_played_is_refused(snapshot, subsample):
    run = ("run", [snapshot], subsample)
    for runs in ([], [run] * 5, [("empty", [], subsample)]):
        with pytest.raises(ValueError):
            animation_html(runs, colour_by="component")
    with pytest.raises(ValueError):
        animation_gif([], subsample)
