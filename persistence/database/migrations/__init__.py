"""The steps that bring a database to the shape of `persistence.database.tables`; `connection.migrate` runs them."""
