"""Lengths in a configuration, turned into whole steps once."""

import re
from fractions import Fraction

Duration = int | float | str

_STEPS = re.compile(r"(\d+) ?(?:steps?|updates?)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_EPOCHS = re.compile(r"(\d+(?:\.\d+)?)(?: ?epochs?)?")
FORMS = 'a number of epochs (5, 2.5), steps ("300 steps") or a share of the run ("10%")'


def parse(value: Duration, key: str) -> tuple[Fraction, str]:
    """Splits a duration into its exact amount and its unit.

    Args:
        value: 5 or 2.5 (epochs), "300 steps" (steps) or "10%" (share of the run).
        key: Where the value comes from, for the message.

    Returns:
        The amount as an exact fraction and "epochs", "steps" or "%".

    Raises:
        ValueError: If the text is none of these, negative or not finite.
    """
    text = str(value).strip()
    for pattern, unit in ((_STEPS, "steps"), (_PERCENT, "%"), (_EPOCHS, "epochs")):
        if match := pattern.fullmatch(text):
            return Fraction(match[1]), unit
    if isinstance(value, float) and 0 <= value < float("inf"):  # 1e-05 and the like
        return Fraction(repr(value)), "epochs"
    raise ValueError(f"{key}={value}: must be {FORMS}")
