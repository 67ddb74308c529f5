"""Credentials of the object store that expire: one clear message, nothing half-written, new ones let it go on."""

import json
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import fsspec
import pytest

from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from tests.flows.conftest import Program
from tests.helpers.detector import face_clip
from tests.helpers.s3 import BUCKET, s3_server

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]

_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_RUN = """
import sys
from pathlib import Path
from difffake.config import DatasetSpec
from flows.refresh import refresh
config, home, store = sys.argv[1:]
own = DatasetSpec(name="own", adapter="folder", root=f"{store}/videos")
refresh(Path(config), [own], Path(home), lake=f"{store}/lake")
"""
Environment = dict[str, str]


def new_key(store: Environment) -> Environment:
    """The environment of a person of the store who may do everything, under a new key."""
    people = boto3.client("iam", endpoint_url=store["AWS_ENDPOINT_URL"], region_name=store["AWS_REGION"])
    if not people.list_users()["Users"]:
        people.create_user(UserName="ada")
        people.put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=json.dumps(_POLICY))
    key = people.create_access_key(UserName="ada")["AccessKey"]
    return store | {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def check_credentials(store: Environment, *, wanted: bool) -> None:
    """From now on the store refuses keys it does not know, or takes any."""
    url = f"{store['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    content = b"0" if wanted else b"inf"
    with urlopen(Request(url, content, {"Content-Type": "text/plain"}, method="POST")):  # noqa: S310 - loopback
        pass


def test_expired_credentials_stop_a_refresh_with_what_to_do_and_new_ones_let_it_go_on(
    program: Program, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    store_uri = f"s3://{BUCKET}"

    def refresh(environment: Environment) -> tuple[int, str, str]:
        where = ("--dataset", "folder", "--root", f"{store_uri}/videos", "--name", "own")
        lake = ("--home", str(home), "--lake", f"{store_uri}/lake")
        tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{program.folder}/mlflow.db"}
        done = program.call("refresh", "--config", str(program.config("base")), *where, *lake, **tracking | environment)
        return done.returncode, done.stdout, " ".join(done.stderr.split())

    with s3_server() as store:
        files = fsspec.filesystem("s3", skip_instance_cache=True)
        for number, name in enumerate(("ann", "bob")):
            face_clip(tmp_path / f"{name}.mp4", 7 * number)
        files.put(str(tmp_path / "ann.mp4"), f"s3://{BUCKET}/videos/real/ann.mp4")
        expiring = new_key(store)
        check_credentials(store, wanted=True)
        status, told, error = refresh(expiring)
        assert status == 0, told + error

        check_credentials(store, wanted=False)
        files.put(str(tmp_path / "bob.mp4"), f"s3://{BUCKET}/videos/real/bob.mp4")
        lake = Lake(f"{store_uri}/lake")
        before = {table: lake.version(table) for table in TableName}
        renewed = new_key(store)
        people = boto3.client("iam", endpoint_url=store["AWS_ENDPOINT_URL"], region_name=store["AWS_REGION"])
        people.delete_access_key(UserName="ada", AccessKeyId=expiring["AWS_ACCESS_KEY_ID"])
        check_credentials(store, wanted=True)
        status, told, error = refresh(expiring)
        assert status == 1, told + error
        assert "Traceback" not in error
        assert "InvalidAccessKeyId, The AWS Access Key Id you provided does not exist in our records" in error
        # A schedule's run has nobody who reads its terminal.
        scheduled = program.run_code(_RUN, str(program.config("base")), str(home), store_uri, **expiring)
        assert scheduled.returncode != 0
        (summary,) = (home / "logs" / "failures").glob("*.md")
        content = summary.read_text()
        assert "renew them in the environment of the worker" in content
        for secret in (expiring, renewed):
            assert secret["AWS_SECRET_ACCESS_KEY"] not in content + told + error + scheduled.stdout + scheduled.stderr

        check_credentials(store, wanted=False)
        assert {table: lake.version(table) for table in TableName} == before
        check_credentials(store, wanted=True)
        status, told, error = refresh(renewed)
        assert status == 0, told + error
        check_credentials(store, wanted=False)
        outcomes = lake.read(TableName.EXTRACTION_LOG, ["video_key", "status"]).to_pylist()
        assert sorted((row["video_key"], row["status"]) for row in outcomes) == [
            ("own/real/ann", "ok"), ("own/real/bob", "ok"),
        ]  # fmt: skip
