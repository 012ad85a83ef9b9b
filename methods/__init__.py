"""Methods: one file each. `registry.METHODS` finds them; `base` has the contract they share."""
