"""The verb `watch`: the page of a folder in which a sweep is running, kept up to date."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_plugin, add_run_folder, whole_number

if TYPE_CHECKING:
    from rich.console import Console

HELP = "serve the page of a folder while a sweep runs in it"
EXAMPLES = {"watch results/runs": "results in a browser"}

PORT = 8321


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the folder and the address to serve at."""
    add = parser.add_argument
    add_run_folder(parser)
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at (default 127.0.0.1, which other machines do not reach; "
        "0.0.0.0 lets everyone on the network read the results)",
    )
    add(
        "--port",
        type=whole_number,
        default=PORT,
        help=f"port to listen at (default {PORT}; 0 takes any free one)",
    )
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: no such folder, or an address that cannot be listened at.
    """
    from benchmarks.cli.parts.live_page import LivePage
    from benchmarks.cli.parts.page_server import serving
    from benchmarks.errors import UserError
    from methods.registry import METHODS

    if not options.folder.is_dir():
        raise UserError(f"{options.folder}: no such folder; name one that a run writes to.")
    for file in options.plugin:
        METHODS.load_file(file)
    with serving(LivePage(options.folder), options.host, options.port) as server:
        console.print(f"{options.folder} at {server.address} (Ctrl-C ends)", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("\nEnded.")
    return 0
