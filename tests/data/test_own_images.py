"""The user's own pictures: what becomes of good ones; bad ones leave one sentence alone."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from mixviz.data import load
from mixviz.data.own import add_file
from mixviz.data.own_files import open_file
from mixviz.data.own_images import suggested_side
from mixviz.data.own_prepare import Options, prepare
from mixviz.errors import MixvizError
from tests.data.driver import picture, refused, zipped

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    ("values", "guessed"), [(np.arange(30) / 7, False), (np.arange(30) % 7, True)]
)
def test_label_beside_images_is_guessed_by_its_values_too(tmp_path, values, guessed):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", x=pixels, y=values)
    assert add_file(tmp_path / "t.npz", Options()).labelled is guessed


def test_folders_of_a_zip_are_classes(file):
    members = {f"all/{'cat' if i % 2 else 'dog'}/{i}.png": picture(i) for i in range(20)}
    members |= {"__MACOSX/all/._1.png": b"x", "all/.DS_Store": b"x", "all/readme.txt": "hello"}
    added = add_file(file("pets.zip", zipped(members)), Options())
    data = load(added.name)
    assert data.kind == "image"
    assert data.shape == (1, 28, 28)
    assert data.label_names == ("cat", "dog")
    assert (data.x.min() >= 0, data.x.max() <= 1, data.x.max() > 0.9) == (True, True, True)
    assert data.columns["file"][data.labels == 0][0].startswith("all/cat/")
    assert any("files that are not pictures: 1" in reason for reason in added.dropped)


@pytest.mark.parametrize("pattern", ["{}/images/{}.png", "all\\{}\\{}.png", "a/{}/b/c/{}.png"])
def test_classes_are_the_innermost_folders_that_differ(file, pattern):
    members = {pattern.format("cat" if i % 2 else "dog", i): picture(i) for i in range(20)}
    members["__MACOSX\\all\\1.png"] = b"x"
    data = load(add_file(file("pets.zip", zipped(members)), Options()).name)
    assert data.label_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0] * 10


def test_pictures_in_one_folder_have_no_classes(file):
    members = {f"all/images/{i}.png": picture(i) for i in range(20)}
    assert not add_file(file("pets.zip", zipped(members)), Options()).labelled


def test_folder_on_disk_in_colour_at_a_chosen_size(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.jpg").write_bytes(picture(i, (40, 30), "RGB", "JPEG"))
    (folder / "broken.png").write_bytes(picture(1)[:60])
    (folder / "link.png").symlink_to("/etc/passwd")
    added = add_file(folder, Options(side=16))
    assert (added.size, added.shape, added.labelled) == (12, (3, 16, 16), False)
    assert any("images that cannot be read: 1 (first: broken.png" in r for r in added.dropped)
    assert load(added.name).columns["file"].tolist()[0] == "0.jpg"


def test_what_is_no_picture_is_said_in_words(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    (tmp_path / "text.png").write_bytes(b"no picture at all")
    (reason,) = add_file(tmp_path, Options(side=16)).dropped
    assert "first: text.png, not a picture of a kind that is read" in reason


def test_pixels_are_kept_where_nothing_is_resized(file):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (15, 8, 8)).astype(np.uint8)
    members = {}
    for i, one in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(one).save(buffer, "PNG")
        members[f"{i:02d}.png"] = buffer.getvalue()
    data = load(add_file(file("p.zip", zipped(members)), Options()).name)
    assert np.array_equal(data.x[:, 0] * 255, pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("stored", ["<u2", ">u2"])
def test_16_bits_are_of_one_scale_in_dark_and_bright_pictures(tmp_path, kind, stored):
    for i in range(12):
        pixels = np.full((8, 8), 10 if i < 6 else 65535)
        pixels[0] = 200 if i < 6 else 257 * i
        Image.fromarray(pixels.astype(stored)).save(tmp_path / f"{i:02}.{kind.lower()}", kind)
    x = load(add_file(tmp_path, Options()).name).x
    assert x[:6].max() == pytest.approx(1 / 255)  # 200 of 65535, rounded to 8 bits
    assert x[6:, 0, 1:].min() == 1
    assert x[6:, 0, 0, 0] * 255 == pytest.approx(np.arange(6, 12))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pictures_whose_brightness_has_no_scale(file, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=kind).reshape(8, 8)).save(buffer, "TIFF")
    members = {f"{i}.png": picture(i) for i in range(12)} | {"deep.tif": buffer.getvalue()}
    refused(file("t.zip", zipped(members)), "deep.tif has pixels of 32 bits")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("scale", [1, 255, -3.5])
def test_resized_arrays_keep_their_range(tmp_path, fit, scale):
    squares = np.zeros((40, 64, 48), np.uint8 if scale == 255 else np.float64)
    squares[:, 16:40, 16:40] = scale
    np.save(tmp_path / "t.npy", squares)
    contents = open_file(tmp_path / "t.npy")
    frames = np.stack(list(contents.squares(range(40), 28, False, fit)))
    assert (frames.min(), frames.max()) == (min(scale, 0), max(scale, 0))
    x = load(add_file(tmp_path / "t.npy", Options(side=28, fit=fit)).name).x
    assert (x.min(), x.max()) == (0, 1)


def test_borders_of_padded_arrays_are_zeros(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).uniform(0.5, 1, (20, 64, 32)))
    x = load(add_file(tmp_path / "t.npy", Options(side=28, fit="pad")).name).x
    assert (x[..., 0].max(), x[..., 14].min() >= 0.5) == (0, True)


@pytest.mark.parametrize(
    ("sizes", "count", "side"),
    [
        ([(16, 16)] * 3, 100, 16),
        ([(32, 32)] * 3, 100, 32),
        ([(96, 96)] * 3, 100, 32),
        ([(20, 24), (18, 40), (30, 30)], 100, 28),
        ([(30, 300), (40, 40), (500, 31)], 100, 28),
        ([(40, 300), (40, 40), (500, 41)], 100, 32),
        ([(640, 480), (500, 375), (30, 30)], 100, 32),
        ([(640, 480), (500, 375)], 300_000, 28),
    ],
)
def test_side_is_suggested_by_the_median_picture(sizes, count, side):
    assert suggested_side(sizes, count) == side


def test_images_in_arrays(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "grey.npz", images=grey, labels=np.arange(20) % 4)
    data = load(add_file(tmp_path / "grey.npz", Options()).name)
    assert np.allclose(data.x[:, 0] * 255, grey, atol=1e-4)
    assert len(data.label_names) == 4
    np.save(tmp_path / "colour.npy", rng.normal(size=(20, 9, 12, 3)))
    colour = load(add_file(tmp_path / "colour.npy", Options(side=12)).name)
    assert colour.shape == (3, 12, 12)
    assert (colour.x.min(), colour.x.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(40, 3), (40, 8, 8)])
def test_arrays_stay_as_they_were_when_opened(tmp_path, shape):
    before = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    np.save(tmp_path / "t.npy", before)
    opened = open_file(tmp_path / "t.npy")
    with (tmp_path / "t.npy").open("r+b") as stream:
        np.save(stream, before + 5)
    x = prepare(opened, Options(scaling="none")).x
    assert np.array_equal(x.reshape(shape), before)


def test_an_archive_that_changed_since_it_was_opened(file):
    opened = open_file(file("t.zip", zipped({f"{i}.png": picture(i) for i in range(12)})))
    file("t.zip", zipped({f"other {i}.png": picture(i) for i in range(12)}))
    with pytest.raises(MixvizError, match="has changed since it was opened"):
        prepare(opened, Options())


def test_archives_that_leave_their_folder(file):
    for name in ("../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"):
        content = zipped({name: picture(), **{f"{i}.png": picture(i) for i in range(12)}})
        refused(file("t.zip", content), "leaves the archive")


def test_links_and_passwords_in_archives(file):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("a.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    refused(file("t.zip", buffer.getvalue()), "links")
    content = bytearray(zipped({"a.png": picture()}))
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1  # says that it is encrypted
    refused(file("t.zip", bytes(content)), "encrypted")


def test_bomb_is_refused_by_its_sizes(file):
    content = zipped({f"{i}.png": b"\0" * 20_000_000 for i in range(12)})
    assert len(content) < 500_000
    refused(file("t.zip", content), "would unpack to 0.2 GB")


def test_picture_of_gigapixels_is_refused_by_its_header(file):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))
    members = {f"{i}.png": picture(i) for i in range(12)}
    refused(file("t.zip", zipped({**members, "huge.png": huge})), "megapixels")


def test_archives_without_usable_pictures(file):
    refused(file("a.zip", zipped({"a.txt": "hello"})), "holds no pictures")
    refused(file("b.zip", zipped({"a.png": picture()})), "1 picture; at least 10")
    broken = {f"{i}.png": b"no picture" for i in range(12)}
    refused(file("c.zip", zipped(broken)), "can be read")
    content = zipped({f"{i}.png": picture(i) for i in range(12)})
    refused(file("d.zip", content[: len(content) // 2]), "cut short")
