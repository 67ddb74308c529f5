"""One training in several processes of this machine, a GPU each, or sharing the CPU.

The process that asks for it takes no part: it starts the others, hands on what they report, and ends them all when one
is lost, so that nobody waits for a process that is gone.
"""

import logging
import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import parent_process
from pathlib import Path
from typing import Any, cast

import torch

from difffake.backbone.team import Team
from difffake.backbone.trainer import OnEpoch, OnStep, Training, run_training
from difffake.backbone.training_folder import History
from difffake.errors import DiffFakeError, TrainingError

_LAST_WORDS_S = 2.0
_END_S = 10.0


@dataclass(frozen=True, eq=False)
class _Place:
    """Which process of how many, where they meet."""

    index: int
    count: int
    device_type: str
    threads: int
    meeting_file: Path


@dataclass(frozen=True, eq=False)
class _Member:
    """A started process and what it says: (kind, content)."""

    place: _Place
    process: SpawnProcess
    said: Connection


def run_in_processes(
    training: Training, device: torch.device, count: int, on_epoch: OnEpoch | None, on_step: OnStep | None
) -> History:
    """Train in `count` fresh processes; see `run_training`.

    Raises:
        TrainingError: a process was lost.
        DiffFakeError: what a process raised.
    """
    threads = max(1, torch.get_num_threads() // count)
    with tempfile.TemporaryDirectory(prefix="difffake-") as folder:
        places = [_Place(index, count, device.type, threads, Path(folder) / "meeting") for index in range(count)]
        members: list[_Member] = []
        try:
            for place in places:
                members.append(_start(training, place))
            return _follow(members, on_epoch, on_step)
        finally:
            for member in members:
                member.process.kill()
                member.process.join(_END_S)
                member.said.close()


def _start(training: Training, place: _Place) -> _Member:
    context = get_context("spawn")
    said, say = context.Pipe(duplex=False)
    process = context.Process(target=_take_part, args=(training, place, say), name=f"training-{place.index}")
    process.start()
    # The end of the pipe must be the end of the process.
    say.close()
    return _Member(place, process, said)


def _follow(members: list[_Member], on_epoch: OnEpoch | None, on_step: OnStep | None) -> History:
    history: History | None = None
    speaking = {member.said: member for member in members}
    while speaking:
        for said in wait(list(speaking)):
            member = speaking[cast(Connection, said)]
            try:
                kind, content = member.said.recv()
            except EOFError:
                del speaking[member.said]
                member.process.join(_END_S)
                if member.process.exitcode != 0:
                    raise _loss(members, member) from None
                continue
            if kind == "error":
                raise content
            if kind == "log":
                logging.getLogger(content.name).handle(content)
            elif kind == "step" and on_step is not None:
                on_step(*content)
            elif kind == "epoch" and on_epoch is not None:
                on_epoch(content)
            elif kind == "history":
                history = content
    if history is None:
        raise TrainingError("the training processes ended without a result: run the same command again")
    return history


def _loss(members: list[_Member], first: _Member) -> DiffFakeError:
    """Why a process ended: what another one said, or the end that the others' ends follow from."""
    for member in members:
        while (error := _last_word(member)) is not None:
            if isinstance(error, DiffFakeError):
                return error
    killed = [member for member in members if (member.process.exitcode or 0) < 0]
    lost = killed[0] if killed else first
    code = lost.process.exitcode or 0
    ending = (
        f"was killed by {signal.Signals(-code).name}, perhaps for want of memory"
        if code < 0
        else f"ended with exit code {code}; its error stands above"
    )
    return TrainingError(
        f"process {lost.place.index + 1} of the {lost.place.count} that train together {ending}. The checkpoint of the "
        "last whole epoch is kept: run the same command again, with backbone.processes lowered if it recurs"
    )


def _last_word(member: _Member) -> Any:
    """The content of the next thing a process has said; None: nothing any more."""
    try:
        return member.said.recv()[1] if member.said.poll(_LAST_WORDS_S) else None
    except EOFError:
        member.process.join(_LAST_WORDS_S)
        return None


def _take_part(training: Training, place: _Place, say: Connection) -> None:
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if place.index == 0:
        package = logging.getLogger("difffake")
        package.setLevel(logging.INFO)
        package.addHandler(_Forward(say))
    else:
        logging.disable()
    torch.set_num_threads(place.threads)
    try:
        team = _join_team(place)
        history = run_training(
            training,
            team,
            on_epoch=lambda record: say.send(("epoch", record)),
            on_step=(lambda done, of: say.send(("step", (done, of)))) if place.index == 0 else None,
        )
    except DiffFakeError as error:
        say.send(("error", error))
        return
    if place.index == 0:
        say.send(("history", history))
    torch.distributed.destroy_process_group()


def _join_team(place: _Place) -> Team:
    # Imported here: it takes seconds, and a training in one process needs none of it.
    from accelerate import PartialState

    # Accelerate reads its place from the environment; this process belongs to one training alone.
    os.environ.update(
        {
            "RANK": str(place.index),
            "LOCAL_RANK": str(place.index),
            "WORLD_SIZE": str(place.count),
            "LOCAL_WORLD_SIZE": str(place.count),
            "OMP_NUM_THREADS": str(place.threads),
        }
    )
    # All are on this machine, whatever its name resolves to.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    state = PartialState(
        cpu=place.device_type == "cpu",
        init_method=place.meeting_file.as_uri(),
        rank=place.index,
        world_size=place.count,
    )
    return Team(state.device, place.index, place.count)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Forward(logging.Handler):
    """Sends log records to the process that asked for the training."""

    def __init__(self, say: Connection) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say.send(("log", record))
