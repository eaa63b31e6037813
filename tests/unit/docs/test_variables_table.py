"""The README's table of variables has the defaults that the configuration has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from together_operator.config import PREFIX, Config

README = Path(__file__).parents[3] / "README.md"
NUMBERS = {
    f"{PREFIX}{name.upper()}": f"{field.default:g}"
    for name, field in Config.model_fields.items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
}


def rows() -> dict[str, str]:
    """The column of defaults by the column of variables."""
    found = re.findall(r"^\| (`[A-Z_`, ]+`) \|.*\| ([^|]+) \|$", README.read_text(), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("variable", NUMBERS)
def test_a_number_is_documented_as_it_is(variable: str) -> None:
    last = f"`_{'_'.join(variable.split('_')[-2:])}`"
    told = [told for names, told in rows().items() if f"`{variable}`" in names or last in names]

    assert len(told) == 1, f"the README has no row, or several, for {variable}"
    assert NUMBERS[variable] in told[0].split(", ")
