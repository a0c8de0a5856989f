"""Image files of any size and mode as what the network was trained on."""

import glob
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy
import torch
from PIL import Image, ImageOps
from torchvision.transforms import functional as transforms

SIDE = 32
RULE = (
    "RGB; transparent pixels over white; turned as EXIF says; the centre square, resized to 32x32 "
    "by antialiased bilinear interpolation"
)
# Not whatever Pillow can open: EPS would start an interpreter.
FORMATS = (
    *("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000"),
    *("MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP"),
)
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # 16 bits a pixel, as Pillow names them
# Whose mode I has 16 bits, full scale; that of the others has 32, of no known range.
SIXTEEN_IN_I = ("PNG", "PPM")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file, ready for the network.

    Attributes:
        path: The file.
        size: Width and height of what is in it, in pixels.
        pixels: `(32, 32, 3)` uint8.
    """

    path: Path
    size: tuple[int, int]
    pixels: torch.Tensor


def printable(path: Path) -> str:
    """A file's name in one line of a terminal: line feeds and control characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def find_images(words: Sequence[str]) -> list[Path]:
    """The image files that are meant, in the order given, those of a folder in natural order.

    Args:
        words: Files, folders (the image files directly in them) and patterns such as `*.png`.

    Raises:
        FileNotFoundError: If one means nothing; names it.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = sorted(filter(_has_image_suffix, path.iterdir()), key=_natural)
            if not inside:
                raise FileNotFoundError(f"{printable(path)}: holds no image files")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            matches = sorted(map(Path, glob.glob(word, recursive=True)), key=_natural)
            matches = [match for match in matches if _has_image_suffix(match)]
            if not matches:
                raise FileNotFoundError(f"{printable(path)}: there is no such image file or folder")
            found += matches
    return found


def read_image(path: Path) -> Picture:
    """Reads an image file by `RULE`; of an animation the first frame.

    Raises:
        OSError: If it is damaged, no image, or too large to be meant well; names it.
    """
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is not used
            # more pixels than a decoder should be sent into
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as image:
                image.load()
                if image.mode == "F" or (image.mode == "I" and image.format not in SIXTEEN_IN_I):
                    raise ValueError("its pixels are 32-bit numbers of unknown range")
                upright: Image.Image = ImageOps.exif_transpose(image)
        return Picture(path, upright.size, square(to_rgb(upright)))
    except Image.UnidentifiedImageError as error:
        reason, cause = "is not an image file that can be read", error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason, cause = f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels", error
    except Exception as error:  # a damaged file can make a decoder raise anything
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason, cause = f"cannot be read as an image: {' '.join(words.split())}", error
    raise OSError(f"{printable(path)}: {reason}") from cause


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB: deep grey scaled to 8 bits, transparent pixels over white.

    Args:
        image: Not of mode F; of mode I with values in 0..65535.
    """
    if image.mode in DEEP:
        image = _from_deep(image)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit, and alpha where a value is transparent.

    Pillow's own conversion cuts off at 255. The transparent value is one of 65536: of those that
    become one value of 8 bits it is one alone.
    """
    values = numpy.asarray(image).astype(numpy.int64)
    grey = Image.fromarray(((values + 128) // 257).astype(numpy.uint8))
    if (clear := image.info.get("transparency")) is None:
        return grey
    opaque = Image.fromarray(numpy.where(values == clear, 0, 255).astype(numpy.uint8))
    return Image.merge("LA", (grey, opaque))


def square(image: Image.Image) -> torch.Tensor:
    """The centre square, resized; one that is 32x32 already stays as it is.

    Args:
        image: RGB.

    Returns:
        `(32, 32, 3)` uint8.
    """
    # torchvision's functions take and give PIL images, but are annotated for tensors alone
    cut: Any = transforms.center_crop(cast(Any, image), [min(image.size)])
    if cut.size != (SIDE, SIDE):
        cut = transforms.resize(cut, [SIDE, SIDE], antialias=True)
    return torch.from_numpy(numpy.array(cut))


def _has_image_suffix(path: Path) -> bool:
    Image.init()
    kind = Image.EXTENSION.get(path.suffix.lower())
    return kind in FORMATS and path.is_file() and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
