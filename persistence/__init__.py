"""All that is durable or remote: the journal and its fence, tables, topic, readers' views, payment providers."""
