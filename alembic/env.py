"""Run migrations on the connection that cacapp provides or, for developers, on the database that CACAPP_DB names."""

from sqlalchemy import Connection

from alembic import context
from cacapp.db.engine.session import database_url, migration_connection
from cacapp.db.tables import Table


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        compare_type=True,
        # SQLite can roll back DDL only if the driver does not commit before it (session.py prevents that commit).
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with migration_connection(database_url(None)) as opened:
        run(opened)
