"""config/places.py: where things are kept when nobody says where."""

from __future__ import annotations

from tidegate.config.places import with_places
from tidegate.ledger.options import LedgerOptions


def places(environ: dict[str, str], url: str = "", spool: str = "") -> tuple[str, str]:
    found = with_places(LedgerOptions(url=url, spool=spool), environ)
    return found.url, found.spool


def test_the_ledger_is_in_the_users_data_folder() -> None:
    data = "/home/me/.local/share/tidegate"
    assert places({"HOME": "/home/me"}) == (f"sqlite:///{data}/tidegate.db", f"{data}/tidegate.db.spool")
    assert places({"HOME": "/home/me", "XDG_DATA_HOME": "/data"})[0] == "sqlite:////data/tidegate/tidegate.db"


def test_what_is_given_stays() -> None:
    assert places({}, url="sqlite:///x.db", spool="/spool") == ("sqlite:///x.db", "/spool")


def test_a_sqlite_file_has_its_spool_beside_it_and_a_server_in_the_data_folder() -> None:
    assert places({}, url="sqlite:////var/x.db")[1] == "/var/x.db.spool"
    assert places({"XDG_DATA_HOME": "/data"}, url="postgresql://db/x")[1] == "/data/tidegate/spool"
