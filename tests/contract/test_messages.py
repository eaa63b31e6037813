"""Scrubbing of a remote system's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.adapters.together_v2.messages import MAX_LENGTH, of_error, scrub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("two\nlines\t here", "two lines here"),
        ("see https://h/p/a.zip?X-Amz-Signature=1#x now", "see https://h/p/a.zip now"),
        ("https://user:pass@h/p", "https://h/p"),
        ("Authorization: Bearer abc.def", "[hidden]"),
        ("got token=abc123 here", "got [hidden] here"),
        ("hf_abcdefghijklmnop was refused", "[hidden] was refused"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key [hidden] is unknown"),
        ("signature " + "0a" * 32, "signature [hidden]"),
        ("model ml_vsfahetbgmxhasn9xzuw not found", "model ml_vsfahetbgmxhasn9xzuw not found"),
        ("acme/my-very-long-model-name-finetuned-on-2025-data taken",) * 2,
        ("config.json not found at the root, but at 'model/config.json'",) * 2,
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_secrets_are_hidden_and_words_stay(text: object, expected: str) -> None:
    assert scrub(text) == expected


@given(st.text(), st.text(alphabet="abcdefXYZ0123_-+/= ", min_size=8, max_size=60), st.text())
def test_a_known_secret_never_shows(before: str, secret: str, after: str) -> None:
    secret = " ".join(secret.split())
    if len(secret) >= 8 and secret not in before + after:
        found = scrub(f"{before} {secret} {after}", [secret])
        assert secret not in found


@given(st.text(max_size=5000))
def test_a_message_is_one_short_line(text: str) -> None:
    line = scrub(text)
    assert len(line) <= MAX_LENGTH
    assert line.splitlines() in ([], [line])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "bad key", "code": "invalid_api_key"}}, "bad key"),
        ({"error": "bad key"}, "bad key"),
        ({"code": 6, "message": "taken", "details": [{"detail": "by you"}]}, "taken (by you)"),
        ({"code": 6, "message": "taken", "details": []}, "taken"),
        ({"detail": "not here"}, "not here"),
        ({"detail": [{"msg": "x"}]}, ""),
        ({}, ""),
        ([], ""),
        ("<html>", ""),
    ],
)
def test_both_envelopes_are_read(body: object, expected: str) -> None:
    assert of_error(body) == expected
