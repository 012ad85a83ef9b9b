"""Building blocks of the verbs: shared flags, records, comparisons, progress, tables.

Only the verbs in `benchmarks/cli/` import them. `verbs.py` says what a verb is and finds them.
"""
