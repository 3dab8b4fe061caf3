"""What REST calls are answered where they fail, for their documentation (OpenAPI)."""

from typing import Any

from .models import Misuse, Problem

Answers = dict[int | str, dict[str, Any]]

NOT_ALLOWED: Answers = {
    401: {"model": Problem, "description": "Nobody is signed in"},
    403: {
        "model": Problem,
        "description": "Not an admin, or one for whom nostrclient is not enabled",
    },
    # FastAPI lists it by itself, but LNbits has it otherwise.
    422: {"description": "Never: what cannot be read is answered 400"},
}
"""Of every call."""

REFUSED: Answers = {
    400: {"model": Misuse, "description": "What was sent is not what is asked for"},
    **NOT_ALLOWED,
}
"""Of every call that takes something; LNbits takes a user's id with each."""


def unknown(description: str) -> Answers:
    """Give the answer of a call that asks for something that must be there."""
    return {404: {"model": Problem, "description": description}}


def conflict(description: str) -> Answers:
    """Give the answer of a call that is refused for what others do."""
    return {409: {"model": Problem, "description": description}}
