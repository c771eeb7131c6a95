"""What the tests of the user's own files share: tables, pictures, archives, refusals."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mixviz.data.own import add_file, own_sets, root
from mixviz.data.own_prepare import Options
from mixviz.errors import MixvizError


def table(rows=30, **columns):
    rng = np.random.default_rng(0)
    found = {"a": rng.normal(5, 2, rows), "b": rng.normal(-1, 0.1, rows)}
    return pd.DataFrame({**found, **columns})


def refused(path, *words, **options):
    """Check that a file is refused in one sentence with these words, and leaves nothing."""
    with pytest.raises(MixvizError) as caught:
        add_file(path, Options(**options))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message, message
    assert not own_sets()
    assert not root().exists() or not list(root().iterdir())
    return message


def picture(value=0, size=(12, 10), mode="L", kind="PNG"):
    rng = np.random.default_rng(value)
    channels = {"L": (), "RGB": (3,)}[mode]
    pixels = rng.integers(0, 256, (size[1], size[0], *channels)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
