"""The journal's facts for the outside: as CloudEvents, on the Kafka topic, and how services keep their place in it.

At least once, in order within a schedule; a gap is filled from the journal.
"""
