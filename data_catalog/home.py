"""The work folder: everything a run writes lies below it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_catalog.artefacts import ArtefactStore
from difffake.errors import DataError

if TYPE_CHECKING:
    from data_catalog.lake import Lake

DEFAULT_HOME = Path(".difffake")
logger = logging.getLogger("difffake.home")
LAKE_VARIABLE = "DIFFFAKE_LAKE"
# As the user set it: mlflow writes the URI it is told into this variable, and one folder's must not become another's.
_NAMED_MLFLOW_URI = os.environ.get("MLFLOW_TRACKING_URI")


@dataclass(frozen=True)
class Home:
    """Places below the work folder.

    Attributes:
        root: the work folder.
        lake_place: path or URI (s3://…) of the tables, where they lie elsewhere.
    """

    root: Path
    lake_place: str | None = field(default_factory=lambda: os.environ.get(LAKE_VARIABLE) or None)

    @property
    def lake(self) -> "Lake":
        """The tables."""
        # DuckDB and Delta load only when a table is needed: `difffake --help` starts at once.
        from data_catalog.lake import Lake

        return Lake(self.lake_place or self.root / "lake")

    @property
    def artefacts(self) -> ArtefactStore:
        """Published results of stages."""
        return ArtefactStore(self.root / "artefacts")

    @property
    def work(self) -> Path:
        """Checkpoints of what is not finished."""
        return self.root / "work"

    @property
    def footage(self) -> Path:
        """The demo's sample videos and the wheels they come from."""
        return self.root / "footage"

    @property
    def reports(self) -> Path:
        """Figures and tables of the last run of each experiment."""
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        """Output of the servers."""
        return self.root / "logs"

    @property
    def failures(self) -> Path:
        """Summaries of runs that failed."""
        return self.logs / "failures"

    @property
    def services(self) -> Path:
        """Which servers run, and where."""
        return self.root / "services"

    @property
    def prefect(self) -> Path:
        """Prefect's database."""
        return self.root / "prefect"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artefacts."""
        return self.root / "mlflow"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking database unless MLFLOW_TRACKING_URI names another."""
        return _NAMED_MLFLOW_URI or f"sqlite:///{self.mlflow.resolve() / 'mlflow.db'}"

    def create(self) -> None:
        """Make the folders and empty tables.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            for folder in (self.root, self.work, self.reports, self.logs, self.services, self.prefect, self.mlflow):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write the work folder {self.root}: {error}. Name another with --home.") from error
        self.lake.create()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the work folder for one run, after whoever holds it; the system lets go when a process ends, however."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "run.lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                logger.info("waiting for process %s, which is using %s (Ctrl-C gives up)", holder, self.root)
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
