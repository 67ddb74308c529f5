"""Questions to a Prefect server."""

import json
import time
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_MOST_ATTEMPTS = 20


def ask_prefect(api_url: str, path: str, body: Any = None, method: str = "POST") -> Any:
    """Ask the API; once more where its database is locked, which it answers with 503 to have the question put again."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(  # noqa: S310 - loopback
        f"{api_url}/{path}", content, {"Content-Type": "application/json"}, method=method
    )
    for attempt in range(_MOST_ATTEMPTS):
        try:
            with urlopen(request) as response:  # noqa: S310
                text = response.read()
            return json.loads(text) if text else None
        except HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            time.sleep(0.1 * attempt)
    raise AssertionError(f"{api_url}/{path} is busy")
