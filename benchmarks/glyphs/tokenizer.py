"""The backbone's tokenizer: one token for a known word, bytes for everything else.

No two strings have the same tokens (before truncation), and `decode` inverts `encode`. The rules:
a run of ASCII letters that is a known word is one token, preceded by a `capital` token if its
first letter is upper case; each common punctuation mark is one token; everything else is spelt in
bytes. The single space between two words, or between punctuation and a word, has no token; a `glue`
token marks its absence, and any other space is a byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

_PUNCTUATION = ".,;:!?"
_PIECES = re.compile(r"[A-Za-z]+|[^A-Za-z]")


class GlyphTokenizer:
    """Converts words to token ids; called like open_clip's tokenizers.

    Args:
        words: known words in the order of their ids, lower-case ASCII letters.
        context_length: longest sequence of the text tower, including start and end.
    """

    pad_token_id = 0
    sot_token_id = 1
    _byte = 2
    _capital = 258
    _glue = 259
    _mark = 260

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.context_length = context_length
        self._words = tuple(words)
        self._first_word = self._mark + len(_PUNCTUATION)
        self._ids = {word: self._first_word + i for i, word in enumerate(self._words)}
        self.eot_token_id = self._first_word + len(self._words)
        """The highest id: open_clip pools the text tower at the position of the largest one."""
        self.vocab_size = self.eot_token_id + 1

    def __call__(
        self, texts: str | Sequence[str], context_length: int | None = None
    ) -> torch.Tensor:
        """(N, L) int64 tokens: start, text, end, padding; long texts are truncated."""
        length = context_length or self.context_length
        out = torch.zeros(1 if isinstance(texts, str) else len(texts), length, dtype=torch.long)
        for row, text in zip(out, [texts] if isinstance(texts, str) else texts, strict=True):
            ids = [self.sot_token_id, *self.encode(text)[: length - 2], self.eot_token_id]
            row[: len(ids)] = torch.tensor(ids)
        return out

    def knows(self, text: str) -> bool:
        """True if every word of `text` is in the vocabulary, so that none is spelt in bytes."""
        return all(_word(piece) in self._ids for piece in re.findall(r"[^\W\d_]+", text))

    def encode(self, text: str) -> list[int]:
        """The tokens of `text`, without start, end or padding."""
        pieces: list[str] = _PIECES.findall(text)
        ids: list[int] = []
        joined = False  # after a word or punctuation, a space has no token
        for i, piece in enumerate(pieces):
            word = self._ids.get(_word(piece))
            if word is not None:
                if joined and pieces[i - 1] != " ":
                    ids.append(self._glue)
                if not piece.islower():
                    ids.append(self._capital)
                ids.append(word)
                joined = True
            elif piece in _PUNCTUATION:
                ids.append(self._mark + _PUNCTUATION.index(piece))
                joined = True
            elif piece == " " and joined and self._word_at(pieces, i + 1):
                pass  # the space without a token; the next piece is a known word
            else:
                ids += [self._byte + b for b in piece.encode("utf-8", "surrogatepass")]
                joined = False
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text whose tokens are `ids` (as from `encode`)."""
        out = b""
        joined = capital = False
        for token in ids:
            if token == self._capital:
                capital = True
            elif token == self._glue:
                joined = False
            elif token >= self._first_word:
                word = self._words[token - self._first_word]
                out += b" " * joined + (word.capitalize() if capital else word).encode()
                joined, capital = True, False
            elif token >= self._mark:
                out += _PUNCTUATION[token - self._mark].encode()
                joined = True
            else:
                out += bytes([token - self._byte])
                joined = False
        return out.decode("utf-8", "surrogatepass")

    def _word_at(self, pieces: list[str], index: int) -> bool:
        return index < len(pieces) and _word(pieces[index]) in self._ids


def _word(piece: str) -> str:
    """`piece` in lower case if it is lower-case or capitalised; otherwise `piece` unchanged."""
    return piece.lower() if piece.islower() or piece == piece.capitalize() else piece
