"""The console that everything is printed on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from benchmarks.cli.parts.streams import for_rich
from benchmarks.visible import visible

NARROWEST = 40
"""Columns that a terminal counts as having at least; a narrower one breaks the lines itself."""
USUAL = 80
"""Columns of a terminal that does not say how many it has."""


class SafeConsole(Console):
    """A console that prints control characters as escapes and reads no markup in texts.

    The texts of records, arguments and plug-ins may contain anything. Styles are given by `style=`
    or as `rich.text.Text`; `markup=True` reads a text of the suite's own.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=for_rich(stream), markup=False, highlight=False, emoji=False)
        if self.width < NARROWEST:
            self.width = NARROWEST if self.width else USUAL

    def render_str(self, text: str, **options: Any) -> Text:
        """The text, with control characters as escapes before its width is measured."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments without control characters but rich's own, and without links."""
        if isinstance(renderable, Text) and renderable.plain != visible(renderable.plain):
            # Before its width is measured. Its styles do not fit any more, but that of the whole.
            renderable = renderable.blank_copy(visible(renderable.plain))
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            text, style = visible(segment.text), segment.style
            if style is not None and style.link:
                style = style.update_link(None)
            elif text == segment.text:
                yield segment  # as it is: a table of thousands of rows passes here several times
                continue
            yield Segment(text, style)
