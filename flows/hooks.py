"""What every deployable flow does beside its work: note its process, and tell readably why it failed."""

from typing import Any

from tasks.failures import tell_failure
from tasks.recovery import note_process

HOOKS: dict[str, Any] = {
    "on_running": [note_process],
    "on_failure": [tell_failure],
    "on_crashed": [tell_failure],
}
"""Arguments of `prefect.flow`."""
