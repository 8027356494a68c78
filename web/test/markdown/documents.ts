/** Documents in which what comes changes what stood before. */
export const TRICKY = [
  "Heading\n===\n\ntext\n---\n\nnot\n\n---\n",
  "[foo] and [bar][foo]\n\n[foo]: /url 'title'\n\n[late]\n\n> [late]: <x y> \"t\n> u\"\n",
  "[foo]: /one\n[foo]: /two\n\n[foo]\n\n- [item][foo]\n\n| [foo] |\n|---|\n| [foo] |\n",
  "- a\n- b\n\n- c\n  - d\n\n    e\n\n  f\n1. x\n2. y\n",
  "- a\n\n  - b\n  - c\n\n      code\n\n\n  end\n",
  "1. one\n\n   ```js\n   let a = 1;\n\n   b()\n   ```\n\n   after\n2. two\n",
  "> quote\nlazy\n> > deeper\nlazy\n\n> new\n> - list\n>\n>   para\n",
  "| a | b |\n|---|---|\n| 1 | 2 |\n| `x|y` | **b** |\n\nafter | pipe\n\n| not | a table\n",
  "para\n| h |\n|:-:|\n| c |\n# heading\n",
  "*em **strong `code` ~~del~~* not** __a__ _b_ ***c***\nnext *line\nends*\n",
  "```python\ndef f():\n    return '''\n```\n~~~\nopen to the end\n``` not closed",
  "    indented\n\n\n    more\n\n\ntext\n\n\tTab\n",
  "- [ ] open\n- [x] done\n- [X] also\n- [y] no\n\n  [ ] not here\n",
  "a\\\nb  \nc<br>d &amp; &copy; &#35; &unknown; \\*not\\*\n",
  "See https://a.example/b_c?d=e) and www.c.example. <https://d.example> mail@e.example\n",
  "![pic](https://x.example/a.png \"t\") [![in](/i.png)](/l) ![ref][r]\n\n[r]: /r.png\n",
  "line one\r\nline two\rline three\r\n\r\n- a\r\n- b\r\n",
  "a\n\n\n\n***\n* * *\n- - -\n\n- \n- x\n-\n\n  y\n",
  "##\n# a #\n## b ##c\n### `d` ###   \n####### seven\n",
  "👩‍👩‍👧 **中文**，字 **a**b _ü_ \u202eabc\u202c مرحبا *بالعالم*\n",
  "[a](b\n\"c\nd\") [e](<f g> (h)) [i](j(k)l) [m [n](o) p](q)\n",
  "<div>\n*not html block*\n</div>\n\n<!-- a\n\nb -->\n",
  `${Array.from({ length: 45 }, (_, at) => `${">".repeat(at % 7)} - ${"x ".repeat(at)}`).join("\n")}\n`,
  `\`\`\`\n${Array.from({ length: 65 }, (_, at) => `line ${at}`).join("\n")}\n\`\`\`\n`,
  `${"A long paragraph that *goes* on and `on` with [links](/a) and **marks**, ".repeat(30)}\n`,
  `${"unclosed [bracket and *star ".repeat(20)}\n\n${"late [ref] ".repeat(60)}\n\n[ref]: /r\n`,
  `| n | sq |\n|--:|:--|\n${Array.from({ length: 40 }, (_, at) => `| ${at} | *${at * at}* |`).join("\n")}\n`,
];

/** Pieces that make random documents, most of them with a meaning somewhere else. */
export const PIECES = [
  ..."abc -+*_~`#>|[]()!<&\\:\"'=\t\n".split(""),
  ...["\n", "\n\n", "\n\n", "  ", "    ", "\r\n", "- ", "1. ", "2) ", "> ", "# ", "```", "~~~", "---", "===", "***"],
  ...["| a | b |\n|---|---|\n", "|-|-|\n", "| c |\n", "[x]", "[x]: /u\n", "[y]: <z>\n", "[y][x]", "](/v)", "![p](/q)"],
  ...["word ", "two words ", "*em*", "**st**", "`co`", "~~de~~", "<br>", "<b>", "&amp;", "https://e.example ", "a@b.example "],
  ...["- [ ] ", "- [x] ", "👍🏽", "ü", "中", "\\*", "  \n", "\\\n", "\n  ", "\n    ", "- a\n", "  - b\n", "\n> c\n"],
];
