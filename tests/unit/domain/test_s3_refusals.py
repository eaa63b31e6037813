"""What a store's refusal means: by its code, and where that says nothing, by the status."""

from __future__ import annotations

import pytest

from together_operator.domain.s3_refusals import Refusal, refusal_of, shown_code


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("SlowDown", 503, Refusal.SLOW_DOWN),
        ("ThrottlingException", 400, Refusal.SLOW_DOWN),
        ("RequestLimitExceeded", 400, Refusal.SLOW_DOWN),
        ("", 429, Refusal.SLOW_DOWN),
        ("RequestTimeout", 400, Refusal.UNAVAILABLE),
        ("BadDigest", 400, Refusal.DAMAGED),
        ("IncompleteBody", 400, Refusal.DAMAGED),
        ("XAmzContentSHA256Mismatch", 400, Refusal.DAMAGED),
        ("unknown error", 502, Refusal.UNAVAILABLE),
        ("408", 408, Refusal.UNAVAILABLE),
        ("NoSuchBucket", 404, Refusal.NO_BUCKET),
        ("AuthorizationHeaderMalformed", 400, Refusal.ELSEWHERE),
        ("PermanentRedirect", 301, Refusal.ELSEWHERE),
        ("404", 404, Refusal.NOT_FOUND),
        ("NoSuchKey", 404, Refusal.NOT_FOUND),
        ("ExpiredToken", 400, Refusal.UNAUTHORIZED),
        ("unknown error", 401, Refusal.UNAUTHORIZED),
        ("RequestTimeTooSkewed", 403, Refusal.FORBIDDEN),
        ("unknown error", 403, Refusal.FORBIDDEN),
        ("EntityTooLarge", 400, Refusal.OTHER),
        ("MethodNotAllowed", 405, Refusal.OTHER),
        ("", 0, Refusal.OTHER),
    ],
)
def test_the_code_comes_first_and_then_the_status(code: str, status: int, refusal: Refusal) -> None:
    assert refusal_of(code, status) is refusal


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("NoSuchKey", "NoSuchKey"),
        ("404", "404"),
        ("", "no word"),
        ("NoSuchKey\n", "no word"),
        ("https://bucket/x?X-Amz-Signature=feed", "no word"),
        ("x" * 65, "no word"),
    ],
)
def test_only_what_looks_like_a_code_is_shown(code: str, words: str) -> None:
    assert shown_code(code, "no word") == words
