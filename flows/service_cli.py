"""Commands of the service: up, down, status, deploy; and of the models it makes: models, promote, rollback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from data_catalog.home import DEFAULT_HOME
from difffake.errors import ConfigError, ServiceError
from flows.options import HomeOption, LakeOption, console, log_to, place_of, read_settings

if TYPE_CHECKING:
    from data_catalog.home import Home
    from tasks.supervisor import ServiceStatus

EXIT_NOT_HEALTHY = 1
_START_TIMEOUT_S = 300.0
_POLL_S = 0.5

output = Console(highlight=False)

ConfigOption = Annotated[
    Path, typer.Option("--config", help="Experiment file with a `datasets` list: what is refreshed and trained.")
]
SchedulesOption = Annotated[
    bool, typer.Option("--schedules/--no-schedules", help="Switch the deployments' schedules on, or leave them off.")
]
SuspectsOption = Annotated[
    str | None, typer.Option("--suspects", help="Folder or bucket whose new videos are scored every hour.")
]
GpuSlotsOption = Annotated[
    int, typer.Option("--gpu-slots", min=1, help="How many trainings or embeddings may use a GPU at once.")
]
VersionArgument = Annotated[str | None, typer.Argument(metavar="VERSION", help="Number; default: the challenger.")]
NoteOption = Annotated[str, typer.Option("--note", help="Who decides, and why; kept with the version.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status, deploy, models, promote, rollback):
        app.command()(command)


def up(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Also deploy this experiment: refreshes, trainings, see `difffake deploy`."),
    ] = None,
    schedules: SchedulesOption = False,
    suspects: SuspectsOption = None,
    gpu_slots: GpuSlotsOption = 1,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    prefect_port: Annotated[int, typer.Option("--prefect-port", min=1, max=65535, help="Of the Prefect UI.")] = 4200,
    mlflow_port: Annotated[int, typer.Option("--mlflow-port", min=1, max=65535, help="Of the MLflow UI.")] = 5000,
    worker_port: Annotated[int, typer.Option("--worker-port", min=1, max=65535, help="Worker's health page.")] = 4201,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything runs; `difffake down` stops it.")
    ] = False,
) -> None:
    """Keep Prefect, MLflow and a worker running on this machine: started, watched, brought back.

    Everything listens on loopback and lies below the work folder. Ctrl-C, or `difffake down`, stops it; runs of the
    worker are told first. A second `up` of the same folder uses what runs.
    """
    from tasks import supervisor

    settings = read_settings(config, None, None) if config is not None else None
    if settings is not None and not settings.datasets:
        raise ConfigError(f"{config} names no dataset: deployments want a `datasets` list (docs/data.md)")
    place = place_of(home, lake)
    place.create()
    if supervisor.supervisor_of(place) is not None:
        console.print("up already; the other options count when it is started")
        _await_healthy(place, None)
        _print_places(place)
        if config is not None:
            deploy(config, schedules, suspects, gpu_slots, home, lake)
        return
    if detach:
        _detach(place)
        return

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    log_to(place.logs / "up.log")
    is_over = Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda _signal, _frame: is_over.set())

    def before_the_worker() -> None:
        # Prefect reads its settings when it is imported.
        _talk_to(place)
        from tasks.deployments import asking_the_server, prepare_pool
        from tasks.recovery import take_up_lost_runs

        with asking_the_server():
            prepare_pool(gpu_slots)
            take_up_lost_runs(place)

    def when_up() -> None:
        _print_places(place)
        if config is not None:
            deploy(config, schedules, suspects, gpu_slots, home, lake)
        console.print("Ctrl-C stops everything.")

    console.print("starting the servers and the worker, about 30 s …")
    ports = {"prefect": prefect_port, "mlflow": mlflow_port, "worker": worker_port}
    supervisor.supervise(place, ports, is_over, before_the_worker, when_up)
    console.print("stopped")


def down(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop the servers and the worker of a work folder; a run in progress is stopped with the worker."""
    from tasks import supervisor

    stopped = supervisor.take_down(place_of(home, None))
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing runs")


def status(
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the servers and the worker: state, address, process, restarts, log. Exit code 1 unless all are healthy."""
    from tasks import supervisor

    place = place_of(home, None)
    rows = supervisor.status(place)
    if as_json:
        typer.echo(json.dumps([vars(row) | {"log": str(row.log)} for row in rows], indent=2))
    else:
        _print_status(rows, supervisor.supervisor_of(place))
    if any(row.state != "healthy" for row in rows):
        raise typer.Exit(EXIT_NOT_HEALTHY)


def deploy(
    config: ConfigOption,
    schedules: SchedulesOption = False,
    suspects: SuspectsOption = None,
    gpu_slots: GpuSlotsOption = 1,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
) -> None:
    """Make the deployments of an experiment: a nightly refresh of every dataset, a training when one brought new faces,
    a weekly end-to-end run, hourly scoring of --suspects, weekly maintenance.

    On the server of PREFECT_API_URL, or the one `difffake up` runs. Schedules are off unless --schedules is given.
    """
    settings = read_settings(config, None, None)
    place = place_of(home, lake)
    # Prefect reads its settings when it is imported.
    _talk_to(place)
    from tasks.deployments import deploy as deploy_all

    names = deploy_all(config, list(settings.datasets), place, suspects, gpu_slots, are_scheduled=schedules)
    state = "on" if schedules else "off"
    output.print(f"deployed {', '.join(names)}; schedules are {state}", soft_wrap=True)


def models(
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered versions: aliases, AUC on their test videos, what was decided about them."""
    from tasks.promotion import versions

    rows = versions(place_of(home, None))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(title="difffake", title_justify="left")
    for column in ("version", "aliases", "AUC", "registered (UTC)", "state", "decision"):
        table.add_column(column, overflow="fold")
    for row in rows:
        auc = "–" if row["auc"] is None else f"{row['auc']:.3f}"
        when = row["created"][:16].replace("T", " ")
        table.add_row(str(row["version"]), row["aliases"], auc, when, row["state"], row["decision"])
    output.print(table)


def promote(
    version: VersionArgument = None,
    approve: Annotated[
        bool | None, typer.Option("--approve/--reject", help="Make it champion, or leave it challenger.")
    ] = None,
    despite: Annotated[
        bool, typer.Option("--despite", help="Approve a version that was not found better than the champion, too.")
    ] = False,
    note: NoteOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Decide about a version that awaits approval (`promotion.approval: required`); `difffake models` lists them."""
    if approve is None:
        raise typer.BadParameter("say --approve or --reject", param_hint="--approve")
    place = place_of(home, None)
    has_server = _find_server(place)
    from tasks.deployments import asking_the_server
    from tasks.promotion import challenger_of, decide_by_hand
    from tasks.recovery import end_waiting

    chosen = version or challenger_of(place)
    typer.echo(decide_by_hand(place, chosen, approve=approve, note=note, despite=despite))
    if has_server:
        with asking_the_server():
            end_waiting("ask-for-approval", {"version": chosen})


def rollback(
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="Default: the champion before.")] = None,
    note: NoteOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make the champion before this one champion again; the same training does not undo it."""
    from tasks.promotion import roll_back

    typer.echo(roll_back(place_of(home, None), to, note))


def _talk_to(home: "Home") -> None:
    """Set this process's environment for the server of PREFECT_API_URL, or else of the work folder."""
    if not _find_server(home):
        raise ServiceError(f"no Prefect server runs in {home.root}: `difffake up` starts one, or set PREFECT_API_URL")


def _find_server(home: "Home") -> bool:
    """Whether there is a server to talk to; this process's environment then names it."""
    from tasks import services

    os.environ.update({name: value for name, value in services.QUIET.items() if name not in os.environ})
    if os.environ.get("PREFECT_API_URL"):
        return True
    server = services.running(home, "prefect")
    if server is not None:
        os.environ.update(services.prefect_environment(home, server.port))
    return server is not None


def _detach(home: "Home") -> None:
    """Start the same command without --detach in a session of its own, and wait until everything answers."""
    command = [sys.executable, "-c", "from flows.cli import main; main()"]
    command += [argument for argument in sys.argv[1:] if argument != "--detach"]
    with (home.logs / "up.out").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    console.print("starting the servers and the worker, about 30 s …")
    _await_healthy(home, process)
    _print_places(home)
    console.print("`difffake status` shows it, `difffake down` stops it")


def _await_healthy(home: "Home", process: subprocess.Popen[bytes] | None) -> None:
    from tasks import supervisor

    deadline = time.monotonic() + _START_TIMEOUT_S
    while not (supervisor.is_ready(home) and all(row.state == "healthy" for row in supervisor.status(home))):
        if process is not None and process.poll() is not None:
            told = (home.logs / "up.out").read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise ServiceError("it did not start; it said:\n" + "\n".join(told))
        if time.monotonic() > deadline:
            raise ServiceError(f"not everything answers after {_START_TIMEOUT_S:.0f} s: `difffake status` says what")
        time.sleep(_POLL_S)


def _print_places(home: "Home") -> None:
    from tasks import supervisor

    names = {"prefect": "Prefect", "mlflow": "MLflow", "worker": "worker"}
    for row in supervisor.status(home):
        typer.echo(f"{names[row.name]:8} {row.url}")


def _print_status(rows: "list[ServiceStatus]", pid: int | None) -> None:
    table = Table()
    for column in ("service", "state", "address", "process", "restarts", "log"):
        table.add_column(column, overflow="fold")
    for row in rows:
        process = "" if row.pid is None else str(row.pid)
        table.add_row(row.name, row.state, row.url, process, str(row.restarts), str(row.log))
    output.print(table)
    typer.echo(f"supervised by process {pid}" if pid is not None else "not supervised: `difffake up` does")
