"""Kill the collector's server, and PostgreSQL, 20 times while clients send page views.

Check that each acknowledged page view is stored once.
"""

from common import folder, tell
from helpers import postgres
from helpers.killing import kill_while_collecting

KILLS = 20


def main():
    with folder() as path:
        report("SQLite", kill_while_collecting(path, KILLS))
        if postgres.find_binaries() is None:
            tell("PostgreSQL", "not installed, so not killed")
            return
        cluster = postgres.Cluster("killed", fsync="on", full_page_writes="on").create()
        try:
            report("PostgreSQL", kill_while_collecting(path, KILLS, cluster=cluster))
        finally:
            cluster.remove()


def report(engine, survivors):
    tell(
        f"{engine}, {KILLS} kills",
        f"{survivors.acknowledged:,} page views acknowledged, none lost or stored twice; {survivors.cut_off} requests "
        f"cut off; {survivors.unacknowledged} stored without an acknowledgement; verify passes",
    )


if __name__ == "__main__":
    main()
