"""What status names and nobody can see: with another key, or by another version of the API.

It is not gone. Whatever it is may run and cost on, so that nothing is made in its place.
"""

from __future__ import annotations

from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.plan import other_key_words, unseen_owner

V2_ENDPOINT = "ep_"
"""What an endpoint's id begins with in v2; in v1 it is a name, in which no `_` may be."""


def _owner_of_unseen(o: Observed) -> str:
    """Slug of the project that the endpoint in status is in, where the API key can't see it.

    In v1, which answers with a placeholder, a name says nothing of the project.
    """
    record = o.md.status.endpoint
    if record is None or (o.endpoint is not None and not o.endpoint.placeholder):
        return ""
    if record.project:
        return record.project if o.project and record.project != o.project else ""
    return unseen_owner(record.name, o.project) if o.endpoint is None else ""


def why_unseen(o: Observed) -> tuple[Reason, str] | None:
    """Reason and words for an endpoint in status that can't be seen, though it may be there."""
    record, owner = o.md.status.endpoint, _owner_of_unseen(o)
    if record is None:
        return None
    what = f"Endpoint {record.name or record.id}"
    if owner:
        return Reason.KEY_OF_ANOTHER_PROJECT, other_key_words(what, owner, o.project)
    version = _version_that_made_it(o)
    if version:
        return Reason.UNSUPPORTED_BY_API, (
            f"{what} was made with Together's {version} API, and this operator works with another "
            "one, where it can't be seen: nothing is created, changed or deleted at Together. "
            f"Start the operator with TOGETHER_OPERATOR_API_VERSION={version} again, and delete "
            "the object there before you move."
        )
    return None


def _version_that_made_it(o: Observed) -> str:
    """The API's version that made the endpoint in status, where another one is asked for it.

    Only v1, where ids are names, tells a project with an endpoint, and never says that one is not
    there: it shows a placeholder.
    """
    record = o.md.status.endpoint
    if record is None or record.id is None:
        return ""
    if o.endpoint is None and record.project and o.project:  # it was looked for
        return "v1"
    is_of_v2 = record.id.startswith(V2_ENDPOINT)
    return "v2" if o.endpoint is not None and o.endpoint.placeholder and is_of_v2 else ""
