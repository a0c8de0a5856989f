"""How numbers are written for a reader: one way everywhere."""


def count(number: int, what: str, plural: str = "") -> str:
    """`1 seed`, `3 seeds`, `11,700 steps`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def percent(share: float, digits: int = 2) -> str:
    """A fraction as `87.38 %`."""
    return f"{100 * share:.{digits}f} %"
