"""What an answer is checked for beside the rules: while it passes, sentence by sentence, and once it is whole.

``plan`` what is checked · ``pieces`` the texts in a chunk · ``answer`` the chunks as they pass · ``judge`` sentences
and their verdicts · ``gate`` what waits for them · ``watch`` all of it for one try · ``validation`` ``schemas``
``schema_worker`` the whole answer. Imported only where something is checked.
"""
