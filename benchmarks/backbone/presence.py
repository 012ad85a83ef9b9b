"""The look for a backbone's files before anything is loaded; imports no torch."""

from __future__ import annotations

from benchmarks.backbone import hub
from benchmarks.backbone.names import BackboneId


def require(ident: BackboneId, *, offline: bool) -> bool:
    """Check that all files are here or can be fetched, without fetching them.

    Files in the hub's cache are used as they are; only `download` updates them.

    Returns:
        True if the hub has to be asked for files.

    Raises:
        DataMissing: a file is not here, and the network cannot be used.
        UserError: a Hugging Face tokenizer cannot be read.
    """
    absent = bool(hub.missing(ident))
    if absent and (reason := "--offline" if offline else hub.no_network()):
        raise hub.cannot_fetch(ident, reason)
    hub.require_tokenizer(ident)
    return absent
