"""What the colours are for those who see them otherwise, on dark and on light terminals."""

import pytest
from rich.style import Style

from wd_tools.watch.screen import FAINT, GAIN, LOSS

Colour = tuple[float, float, float]

# What is left of red, green and blue light (Machado, Oliveira and Fernandes 2009, severity 1).
VISIONS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# As for the page: the least difference, of 441 between black and white. Without any colour the sign
# tells a gain from a loss.
DIFFERENCE = 90
# WCAG asks 3 of what is large or bold and 4.5 of other text; nothing has 4.6 on black and on white.
CONTRAST = 4.4


def light(colour: str) -> Colour:
    """Of 0 to 1, linear, as every terminal of 256 colours has it: the first 16 are its theme's."""
    found = Style.parse(colour).color
    assert found is not None
    assert found.number is not None
    assert found.number >= 16, f"{colour} is whatever the terminal's theme makes of it"
    red, green, blue = (_linear(value / 255) for value in found.get_truecolor())
    return red, green, blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _shown(value: float) -> float:
    value = min(max(value, 0), 1)
    return 255 * (value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


def seen(colour: str, vision: str) -> tuple[float, ...]:
    return tuple(
        _shown(sum(part * of for part, of in zip(row, light(colour), strict=True)))
        for row in VISIONS[vision]
    )


@pytest.mark.parametrize("vision", VISIONS)
def test_gain_and_loss_differ_in_every_colour_vision(vision: str) -> None:
    pairs = zip(seen(GAIN, vision), seen(LOSS, vision), strict=True)
    assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 > DIFFERENCE


@pytest.mark.parametrize("colour", [GAIN, LOSS, FAINT])
def test_each_can_be_read_on_black_and_on_white(colour: str) -> None:
    red, green, blue = light(colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert min((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)) > CONTRAST
