"""What was measured: the record schema, the store of records and the reference results."""
