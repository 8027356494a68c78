# ruff: noqa: E501 - emoji and scripts are wide in columns that nobody counts
"""PURE. The built-in answers, and their cutting into tokens."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ANSWERS", "tokens_of"]

_TOKEN: Final = re.compile(r" ?[A-Za-z]{1,6}|[A-Za-z]{1,5}| ?\d{1,3}|\n+| {2,}| ?[^\sA-Za-z\d]{1,2}|\s", re.ASCII)
"""Roughly as byte-pair encodings do: a space belongs to the word behind it, long words fall apart, and what is not
ASCII comes in ones and twos, so that emoji families and flags are cut in the middle, as real tokenizers cut them."""


def tokens_of(text: str) -> list[str]:
    """The pieces of ``text``, in order; joined they are the text."""
    return _TOKEN.findall(text)


_PROSE: Final = """\
Twice a day the sea comes up the harbour steps and goes down them again, and nobody who lives there asks it to. The \
moon pulls at the water on the near side of the earth a little more than at the earth itself, and at the earth a \
little more than at the water on the far side; what is left over is two bulges, and we turn underneath them. That is \
the whole of it, and it explains almost nothing about any real harbour. A real harbour has a shape. The wave that \
arrives from the ocean is slowed by the shelf, squeezed by the bay, and thrown back by the quay, so that one town has \
twelve metres of tide while another, an hour's sail away, has hardly one.

A tide gate is an old answer to this. It is a door that the water closes by itself: when the sea is higher than the \
river it swings shut, and when the river is higher it opens. It needs no keeper, it holds back exactly what it must, \
and it never pretends that the sea is not there. Whoever has watched one work for a day understands something about \
flow: most of the skill lies in letting through what can pass, at once, and in being honest about the rest.
"""

_MARKDOWN: Final = """\
# Reading a tide table

A tide table tells you **when** the water turns and **how high** it gets. Three things to know first:

1. Times are in the zone printed at the top, and *not* always in summer time.
2. Heights are above *chart datum*, which is about the lowest water there is.
3. The weather is not in it: a strong onshore wind adds `0.3` to `0.5` metres.

## The rule of twelfths

> In the first hour the water moves a twelfth of its range, then two, three, three, two and one.

- **First hour**: 1/12
- **Second hour**: 2/12
  - already twice as fast
- **Third hour**: 3/12

```python
def height(low: float, high: float, hours: float) -> float:
    return low + (high - low) * (1 - cos(pi * hours / 6)) / 2
```

See the [harbour office](https://example.org/harbour) for the almanac. ~~It is free.~~ It costs six euros.
"""

_CODE: Final = """\
Here is a bounded channel in Python:

```python
import asyncio
from collections import deque


class Channel:
    \"\"\"Producers wait while it is full; consumers wait while it is empty.\"\"\"

    def __init__(self, size: int) -> None:
        self.items: deque[bytes] = deque()
        self.size = size
        self.changed = asyncio.Condition()

    async def put(self, item: bytes) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.items) < self.size)
            self.items.append(item)
            self.changed.notify_all()
```

and the same idea in Rust:

```rust
let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(64);
while let Some(item) = receiver.recv().await {
    println!("{} bytes: \\"{:?}\\"", item.len(), &item[..4]);
}
```

A shell user would say `mkfifo pipe && cat pipe &`.
"""

_TABLES: Final = """\
| Port | Mean range (m) | High water after Dover |
|:-----|---------------:|:----------------------:|
| Saint-Malo | 8.0 | −5 h 06 min |
| Avonmouth | 9.6 | −4 h 01 min |
| Cuxhaven | 3.0 | +1 h 10 min |
| Bergen | 0.9 | −0 h 42 min |
| Venice | 0.6 | — |

The range in Avonmouth is **ten times** that of Bergen, although the moon is the same.

| Wind | Adds |
|---|---|
| onshore, force 8 | 0.5 m |
| offshore, force 8 | −0.4 m |
"""

_EMOJI: Final = """\
Families: 👨‍👩‍👧‍👦 👩‍👩‍👦 👨‍👧. Flags: 🇳🇱🇬🇧🇫🇷🇯🇵 and 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🏳️‍🌈. Skin tones: 👍🏽 👩🏿‍🚀 🤝🏻. Keycaps: 1️⃣ 2️⃣ #️⃣. Hearts: ❤️‍🔥 ❤️. \
The sea: 🌊🐚🦀⚓️🚢. Letters with marks: é e\u0301 ñ n\u0303 ắ. Mathematics: ∑ 𝒙² ≤ ∞. All of them are one thing to a reader and \
several to a machine: 🧑🏽‍❤️‍💋‍🧑🏿!
"""

_CJK: Final = """\
潮汐是由月球和太阳的引力引起的海水周期性涨落。每天大约有两次高潮和两次低潮。「水门」在海水高于河水时自动关闭，在河水高于海水时打开。

潮の満ち引きは、月と太陽の引力によって起こります。港ごとに形が違うので、同じ月でも潮の高さは違います。

조수는 달과 태양의 인력 때문에 생깁니다. 하루에 두 번 물이 들어오고 두 번 나갑니다.
"""

_RTL: Final = """\
المد والجزر هما ارتفاع مياه البحر وانخفاضها مرتين في اليوم تقريبًا، بسبب جاذبية القمر والشمس. ارتفاع المد في Saint-Malo هو 12 مترًا.

הגאות והשפל נגרמים מכוח המשיכה של הירח ושל השמש. בנמל Haifa ההפרש הוא 0.4 מטר בלבד.
"""

ANSWERS: Final[dict[str, str]] = {
    "default": _PROSE,
    "prose": _PROSE,
    "markdown": _MARKDOWN,
    "code": _CODE,
    "tables": _TABLES,
    "emoji": _EMOJI,
    "cjk": _CJK,
    "rtl": _RTL,
    "long": "\n".join([_PROSE, _MARKDOWN, _CODE, _TABLES, _EMOJI, _CJK, _RTL] * 4),
}
"""Text by the name behind ``sim/``."""
