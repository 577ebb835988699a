"""TLS connections fail if the certificate is not valid for the server's name."""

import shutil
import subprocess
import time

import psycopg
import pytest
from helpers import postgres
from helpers.cli import run
from helpers.client import KEY, APIClient

from analytics_api import create_app
from analytics_api.database.postgresql import PostgreSQL


def openssl(folder, *arguments):
    key = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run(["openssl", *key, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Create two certificate authorities. The first signs two certificates: for localhost, and for another host."""
    folder = tmp_path_factory.mktemp("certificates")
    for authority in ("ours", "another"):
        openssl(folder, "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    for name in ("localhost", "db2.example"):
        openssl(
            folder, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-CA", "ours.pem",
            "-CAkey", "ours.key", "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


def present(cluster, certificates, name):
    """Make the server use this certificate for new connections, and wait until it does."""
    for ending, place in (("pem", "server.crt"), ("key", "server.key")):
        shutil.copy(certificates / f"{name}.{ending}", cluster.data / place)
        shutil.chown(cluster.data / place, postgres.server_user())
        (cluster.data / place).chmod(0o600)
    cluster.execute("alter system set ssl = on")
    cluster.execute("select pg_reload_conf()")
    until = time.monotonic() + 30
    while name not in shown(cluster, certificates):
        assert time.monotonic() < until
    cluster.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'site'")


def shown(cluster, certificates):
    """Connect to a wrong name, and return the error message, which contains the name in the server's certificate."""
    try:
        psycopg.connect(f"{cluster.url()}?sslmode=verify-full&sslrootcert={certificates}/ours.pem").close()
    except psycopg.OperationalError as error:
        return str(error)  # no certificate is valid for 127.0.0.1
    raise AssertionError("PostgreSQL accepted a certificate for a host name at an IP address")


@pytest.fixture(scope="module")
def server(certificates):
    cluster = postgres.Cluster("encrypted").create()
    cluster.execute("create database site")
    present(cluster, certificates, "localhost")
    yield cluster
    cluster.remove()


def named(server, certificates, authority, host="localhost"):
    url = server.url("site").replace("127.0.0.1", host)
    return f"{url}?sslmode=verify-full&sslrootcert={certificates}/{authority}.pem"


def test_server_with_verified_name_is_used(server, certificates):
    with PostgreSQL(named(server, certificates, "ours")).closing() as database:
        rows = database.rows("select ssl from pg_stat_ssl where pid = pg_backend_pid()")

    assert rows == [{"ssl": True}]


@pytest.mark.parametrize(
    ("authority", "host", "message"),
    [
        ("another", "localhost", "certificate verify failed"),
        ("ours", "127.0.0.1", 'does not match host name "127.0.0.1"'),
        ("missing", "localhost", 'missing.pem" does not exist'),
    ],
)
def test_server_with_unverified_name_is_rejected(server, certificates, authority, host, message):
    output = run("init", "-d", named(server, certificates, authority, host), status=1)

    assert message in output
    assert output.count("\n") == 1


def test_server_with_a_new_identity_gets_no_query(server, certificates, caplog):
    with PostgreSQL(named(server, certificates, "ours"), wait=1.0).closing() as database:
        client = APIClient(create_app(database, api_keys=[KEY]))
        before = client.get("/analytics/overview")
        present(server, certificates, "db2.example")

        begun = time.monotonic()
        meanwhile = client.get("/analytics/overview")
        took = time.monotonic() - begun
        present(server, certificates, "localhost")
        until = time.monotonic() + 30
        while client.get("/analytics/overview").status_code != 200:  # until the pool has connected again
            assert time.monotonic() < until

    assert (before.status_code, meanwhile.status_code) == (200, 500)
    assert meanwhile.json == {"error": "Analytics query failed"}
    assert took < 15
