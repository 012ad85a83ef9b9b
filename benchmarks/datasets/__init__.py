"""Data sets, one file per family; `registry.resolve(name)` finds one."""
