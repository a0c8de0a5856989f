"""Image files of every kind, by the stated rule."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from trainer.data import synthetic
from trainer.inference.images import find_images, read_image, square

ORANGE = (230, 120, 20)


def picture(width: int, height: int) -> Image.Image:
    """A smooth picture that no two places of look alike."""
    y, x = numpy.mgrid[:height, :width]
    planes = [255 * x / width, 255 * y / height, 127 + 120 * numpy.sin(x / 9) * numpy.cos(y / 7)]
    return Image.fromarray(numpy.stack(planes, 2).astype(numpy.uint8))


def test_an_image_of_the_networks_size_is_untouched(tmp_path: Path) -> None:
    pixels = synthetic.make(0, 10, 10)[1].images[0]
    Image.fromarray(pixels.numpy()).save(tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("size", [(64, 64), (201, 90), (33, 500), (7, 5), (1, 3000)])
def test_any_size_becomes_the_centre_square_as_torchvision_resizes_tensors(
    size: tuple[int, int],
) -> None:
    image = picture(*size)
    tensor = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)
    rule = v2.Compose([v2.CenterCrop(min(size)), v2.Resize((32, 32), antialias=True)])
    difference = (square(image).permute(2, 0, 1).int() - rule(tensor).int()).abs()
    assert int(difference.max()) <= 1  # both round
    assert square(image).shape == (32, 32, 3)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def deep_pgm(path: Path) -> Path:
    """A PGM of 10 bits, half of its highest value."""
    path.write_bytes(b"P5 40 40 1000\n" + (500).to_bytes(2, "big") * 1600)
    return path


FLAT = Image.new("RGB", (40, 40), ORANGE)
GREY = (120, 120, 120)
KINDS: dict[str, tuple[Callable[[Path], Path], tuple[int, int, int], int]] = {
    "png": (lambda p: save(FLAT, p / "a.png"), ORANGE, 0),
    "jpeg": (lambda p: save(FLAT, p / "a.jpg", quality=95), ORANGE, 3),
    "webp": (lambda p: save(FLAT, p / "a.webp", lossless=True), ORANGE, 0),
    "cmyk": (lambda p: save(FLAT.convert("CMYK"), p / "a.jpg", quality=95), ORANGE, 4),
    "palette": (
        lambda p: save(FLAT.convert("P", palette=Image.Palette.ADAPTIVE), p / "a.gif"),
        ORANGE,
        0,
    ),
    "grey": (lambda p: save(Image.new("L", (40, 40), 120), p / "a.png"), GREY, 0),
    "1 bit": (lambda p: save(Image.new("1", (40, 40), 1), p / "a.png"), (255, 255, 255), 0),
    "16 bit": (
        lambda p: save(Image.fromarray(numpy.full((40, 40), 120 * 257, "uint16")), p / "a.png"),
        GREY,
        0,
    ),
    "16 bit tiff": (
        lambda p: save(Image.fromarray(numpy.full((40, 40), 120 * 257, ">u2")), p / "a.tif"),
        GREY,
        0,
    ),
    "16 bit pgm": (lambda p: deep_pgm(p / "a.pgm"), (128, 128, 128), 0),
    "16 bit keyed": (
        lambda p: save(
            Image.fromarray(numpy.full((40, 40), 120 * 257, "uint16")),
            p / "a.png",
            transparency=120 * 257,
        ),
        (255, 255, 255),
        0,
    ),
    "16 bit almost keyed": (
        lambda p: save(
            Image.fromarray(numpy.full((40, 40), 120 * 257, "uint16")),
            p / "a.png",
            transparency=120,
        ),
        GREY,
        0,
    ),
    "opaque": (lambda p: save(Image.new("RGBA", (40, 40), (*ORANGE, 255)), p / "a.png"), ORANGE, 0),
    "clear": (
        lambda p: save(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), p / "a.png"),
        (255, 255, 255),
        0,
    ),
    "half": (
        lambda p: save(Image.new("RGBA", (40, 40), (0, 0, 0, 128)), p / "a.png"),
        (127, 127, 127),
        1,
    ),
    "grey clear": (
        lambda p: save(Image.new("LA", (40, 40), (0, 0)), p / "a.png"),
        (255, 255, 255),
        0,
    ),
    "keyed": (lambda p: save(FLAT, p / "a.png", transparency=ORANGE), (255, 255, 255), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_becomes_the_colours_that_it_shows(kind: str, tmp_path: Path) -> None:
    make, colour, tolerance = KINDS[kind]
    found = read_image(make(tmp_path))
    assert found.size == (40, 40)
    difference = (found.pixels.int() - torch.tensor(colour)).abs().max()
    assert int(difference) <= tolerance, found.pixels[0, 0]


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (ORANGE, "blue", "black")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").pixels[0, 0].tolist() == pytest.approx(ORANGE, abs=6)


def test_a_photo_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    image, turned = picture(60, 40), Image.Exif()
    turned[0x0112] = 6  # the top is on the right: to be turned a quarter clockwise
    image.save(tmp_path / "held.png", exif=turned)
    found = read_image(tmp_path / "held.png")
    assert found.size == (40, 60)
    assert torch.equal(found.pixels, square(image.transpose(Image.Transpose.ROTATE_270)))


def test_pixels_without_a_range_are_refused(tmp_path: Path) -> None:
    for mode, value in (("F", 0.5), ("I", 70_000), ("I", 120)):
        Image.new(mode, (40, 40), value).save(tmp_path / "a.tif")
        with pytest.raises(OSError, match="32-bit numbers of unknown range"):
            read_image(tmp_path / "a.tif")


def test_damaged_files_and_others_are_named_each(tmp_path: Path) -> None:
    whole = save(picture(200, 200), tmp_path / "whole.png")
    files = {
        "cut.png": whole.read_bytes()[:3000],
        "empty.png": b"",
        "text.jpg": b"this is no image",
        "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert read_image(whole).path == whole
    for name in files:
        with pytest.raises(OSError, match=re.escape(f"{tmp_path / name}: ")) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")  # 144 million pixels in 20 kB
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(OSError, match=r"bomb.png: has more than 89,478,485 pixels"):
        read_image(tmp_path / "bomb.png")


def test_files_folders_and_patterns_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("b10.png", "b2.png", "deep/c.png", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        FLAT.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    names = lambda *words: [p.name for p in find_images([str(tmp_path / w) for w in words])]  # noqa: E731
    assert names("") == ["b2.png", "b10.png"]
    assert names("b10.png", "deep") == ["b10.png", "c.png"]
    assert names("**/*.png") == ["b2.png", "b10.png", "c.png"]
    for missing in ("nothing.png", "*.jpg"):
        with pytest.raises(FileNotFoundError, match="there is no such image"):
            names(missing)
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image files"):
        names("bare")
