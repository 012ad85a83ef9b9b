"""Inputs of methods: stored features and batches of samples.

Used by methods/parts and everything above. Open `samples` first: a split as a method sees it. Its
frozen features come from `features`, a store on disk that is written and read by `feature_files`.
`passes` lets one of several processes compute them, `feature_index` lists the contents of the store
without torch or data, and `export_files` writes features for other tools.
"""
