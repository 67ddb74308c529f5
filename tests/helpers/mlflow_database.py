"""An empty database of MLflow's: making one takes longer than most tests that want one."""

import shutil
from pathlib import Path

import pytest

from data_catalog.home import Home
from tests.helpers.common import common_folder, one_at_a_time


def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that all test processes of this session copy."""
    # Not with the module: it takes a second, and few tests want one.
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = common_folder(tmp_path_factory) / "empty.db"
    with one_at_a_time(database):
        if not database.exists():
            partial = database.with_name("empty.db.partial")
            SqlAlchemyStore(f"sqlite:///{partial}", str(database.parent))
            partial.rename(database)
    return database


def give_database(home: Home, database: Path) -> None:
    """Begin the tracking store of a work folder that has none."""
    place = home.mlflow / "mlflow.db"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(database, place)
