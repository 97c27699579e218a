"""The steps that bring a database to the shape of `persistence.tables`; `persistence.database.migrate` runs them."""
