"""The page on conditions has every reason, once, and no other."""

import re
from pathlib import Path

from together_operator.domain.conditions import Reason

PAGE = Path(__file__).parents[3] / "docs" / "conditions.md"


def test_page_documents_exactly_the_reasons_that_there_are() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)

    assert sorted(documented) == sorted(reason.value for reason in Reason)
