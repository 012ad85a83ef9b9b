"""What was measured: the record schema and the store of records."""
