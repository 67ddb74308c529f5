import errno
from concurrent.futures.process import BrokenProcessPool

import pytest
from prefect.states import Failed

from difffake.errors import DataError
from tasks.failures import advice, summary


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (caused(RuntimeError("commit failed"), OSError(errno.ENOSPC, "x")), "The disk is full"),
        (RuntimeError("Generic S3 error: Error performing PUT: ExpiredToken"), "renew them"),
        (RuntimeError("<Code>AccessDenied</Code>"), "grant it"),
        (ConnectionError("[Errno 111] Connection refused"), "`difffake up` starts it"),
        (RuntimeError("(sqlite3.OperationalError) database is locked"), "PostgreSQL"),
        (BrokenProcessPool("a process died"), "fewer workers"),
        (DataError("no video: look at X"), "What is said above"),
        (ValueError("odd"), "report it"),
        (None, "goes on where it stopped"),
    ],
)
def test_what_to_do_follows_from_what_happened(error: Exception | None, told: str) -> None:
    assert told in advice(error)


def test_the_summary_says_what_failed_where_and_on_what_input() -> None:
    def fail() -> None:
        raise DataError("people cross splits: a, b")

    with pytest.raises(DataError) as caught:
        fail()
    text = summary("refresh", "refresh-1", {"home": "/x"}, Failed(message="no"), caught.value)
    assert text.startswith("# refresh failed (refresh-1)")
    assert "**What:** DataError: people cross splits: a, b" in text
    assert '"home": "/x"' in text


def test_a_crash_without_an_error_keeps_the_servers_words() -> None:
    text = summary("refresh", "r", {}, Failed(message="Flow run process exited with status code -9"), None)
    assert "exited with status code -9" in text


def test_an_error_that_is_its_own_cause_ends() -> None:
    error = ValueError("a")
    error.__cause__ = error
    assert advice(error)
