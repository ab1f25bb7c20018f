"""The schema's version: checked on every opening, changed only on request."""

from typing import Literal

from sqlalchemy import Connection, column, inspect, select, table, text

from verl_spo.errors import SchemaError
from verl_spo.store.database.urls import describe
from verl_spo.store.schema import HEAD, REVISIONS

HINT = "run `verl-spo db upgrade`"

# An arbitrary number that all verl-spo processes agree on.
_UPGRADE_LOCK = 7_310_417_263


def current(connection: Connection) -> str | None:
    """The database's revision, None where it has no schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(select(column("version_num")).select_from(table("alembic_version"))).scalar_one_or_none()


def known(connection: Connection) -> str | None:
    """The database's revision, None where it has no schema.

    Raises:
        SchemaError: It is newer than this version of verl-spo.
    """
    revision = current(connection)
    if revision is not None and revision not in REVISIONS:
        raise SchemaError(
            f"database {describe(connection.engine.url)}: its schema is {revision}, newer than {HEAD}; use the version "
            "of verl-spo that made it"
        )
    return revision


def check(connection: Connection) -> None:
    """Raises: SchemaError: The schema is missing, older or newer than this version of verl-spo."""
    revision = known(connection)
    if revision == HEAD:
        return
    name = describe(connection.engine.url)
    if revision is None:
        raise SchemaError(f"database {name}: has no verl-spo schema; {HINT} (--db names the database)")
    raise SchemaError(f"database {name}: its schema is {revision}, older than {HEAD}; {HINT} (back it up first)")


def check_unless_empty(connection: Connection) -> None:
    """`check`, but for a database without any table."""
    if not _is_empty(connection):
        check(connection)


def create_if_empty(connection: Connection) -> None:
    """Give a database without any table the present schema."""
    if _is_empty(connection):
        connection.rollback()
        upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema up to a revision, in one transaction; processes that do so at once take turns.

    Raises:
        SchemaError: It is newer than this version of verl-spo.
    """
    _migrate(connection, "upgrade", revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Bring the schema back to a revision, losing what only later ones hold; `base` removes everything."""
    _migrate(connection, "downgrade", revision)


def _migrate(connection: Connection, action: Literal["upgrade", "downgrade"], revision: str) -> None:
    # Every command imports this module, and hardly one migrates.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", "verl_spo.store:migrations")
    config.attributes["connection"] = connection
    with connection.begin():
        # SQLite's BEGIN IMMEDIATE excludes others by itself.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        known(connection)
        getattr(command, action)(config, revision)


def _is_empty(connection: Connection) -> bool:
    return not inspect(connection).get_table_names()
