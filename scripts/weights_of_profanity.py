"""Write ``src/tidegate/safety/data/profanity.bin`` from the model in the package ``alt-profanity-check`` (MIT).

    python3 -m venv /tmp/profanity && /tmp/profanity/bin/pip install alt-profanity-check==1.9.1 msgspec
    PYTHONPATH=src /tmp/profanity/bin/python scripts/weights_of_profanity.py [--check]

What is inside: a TF-IDF vectorizer over single words (English stop words left out, rows of length 1) and a
``CalibratedClassifierCV`` of five linear support vector machines, each with a sigmoid; the answer is their mean. All of
it is numbers, and nothing is rounded. ``--check`` compares the file with scikit-learn's own answers instead.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import joblib

from tidegate.safety.profanity import ProfanityModel
from tidegate.safety.weights import pack, unpack

TARGET = Path(__file__).resolve().parents[1] / "src" / "tidegate" / "safety" / "data" / "profanity.bin"

HEADER = {
    "what": "How profane a sentence of English is, from its words.",
    "source": f"alt-profanity-check {version('alt-profanity-check')} (PyPI), model.joblib and vectorizer.joblib",
    "licence": "MIT. Copyright (c) 2018 Victor Zhou, 2021 Menelaos Kotoglou, and Dimitrios Mistriotis",
}

TEXTS = [
    "",
    "The tide comes in twice a day.",
    "You are a damn fool, and this is bullshit.",
    "shit shit shit",
    "What the hell is a dictionary? It is fucking useless.",
    "Crêpes à la carte, 3.5 % of ｆｕｌｌ width",
    "To be or not to be, that is the question " * 20,
]
"""For ``--check``: what words and repetitions do, and what is no word."""


def main() -> None:
    data = files("profanity_check") / "data"
    vectorizer = joblib.load(str(data / "vectorizer.joblib"))
    model = joblib.load(str(data / "model.joblib"))
    if "--check" in sys.argv:
        ours = ProfanityModel(unpack(TARGET.read_bytes()))
        theirs = model.predict_proba(vectorizer.transform(TEXTS))[:, 1]
        worst = max(abs(ours.score(text) - float(each)) for text, each in zip(TEXTS, theirs, strict=True))
        print(f"{len(TEXTS)} texts, the largest difference is {worst:.1e}")
        raise SystemExit(worst > 1e-9)
    parameters = vectorizer.get_params()
    wanted = {"norm": "l2", "sublinear_tf": False, "binary": False, "ngram_range": (1, 1), "lowercase": True}
    assert {name: parameters[name] for name in wanted} == wanted, parameters
    folds = []
    for each in model.calibrated_classifiers_:
        (sigmoid,) = each.calibrators
        folds.append([float(each.estimator.intercept_[0]), float(sigmoid.a_), float(sigmoid.b_)])
    names = sorted(vectorizer.vocabulary_)
    rows = []
    for name in names:
        column = vectorizer.vocabulary_[name]
        coefficients = [float(each.estimator.coef_[0, column]) for each in model.calibrated_classifiers_]
        rows.append([float(vectorizer.idf_[column]), *coefficients])
    TARGET.write_bytes(pack({**HEADER, "folds": folds}, names, rows, "d"))
    print(f"{TARGET.name}: {len(names)} words, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
