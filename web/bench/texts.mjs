/** Texts as models write them, the same in every run. */

const PROSE = "The tide rises and falls because the moon pulls on the water that is **nearer** to it more than on the *earth* below, and more on the earth than on the water behind. Where both bulges pass, the sea stands high; see [the almanac](https://example.org/tides) or `tide --at cuxhaven`. ";
const CJK = "潮汐是由月球和太阳的引力引起的。**每天两次**，海水上升又下降。潮の満ち引きは一日に二度あります。";
const EMOJI = "Fair weather 🌊👩‍🚀👍🏽 and a family 👨‍👩‍👧 on the shore 🇳🇴. ";
const CODE = "```python\ndef height(low: float, high: float, hours: float) -> float:\n    \"\"\"The rule of twelfths.\"\"\"\n    share = [1, 2, 3, 3, 2, 1][: int(hours)]\n    return low + (high - low) * sum(share) / 12\n\n\nfor hour in range(7):\n    print(hour, height(0.4, 3.9, hour))\n```\n";
const LIST = "- **First hour**: the water moves a twelfth of its range\n- Second hour: two twelfths, `0.6` metres\n  - already twice as fast\n  - and audible\n- Third hour: three\n\n1. Look up the time.\n2. Add the zone.\n3. Trust the barometer.\n";
const TABLE = "| Port | High water | Height |\n|:-----|:----------:|-------:|\n| Cuxhaven | 04:12 | 3.6 m |\n| Bergen | 10:31 | 1.4 m |\n| Saint-Malo | 07:05 | **12.2 m** |\n";

const repeat = (make, size) => {
  let text = "";
  for (let at = 0; text.length < size; at++) text += make(at);
  return text.slice(0, size);
};

export const mix = (size) =>
  repeat((at) => `## Part ${at + 1}\n\n${PROSE.repeat(1 + (at % 3))}\n\n${[LIST, CODE, TABLE, `${CJK}\n`, `${EMOJI.repeat(3)}\n`, `> ${PROSE}\n`, CODE.replace("```\n", "") && CODE][at % 7]}\n`, size);
export const fence = (size) => `\`\`\`js\n${repeat((at) => `const value${at} = compute(${at}, "text of line ${at}");\n`, size - 6)}`;
export const list = (size) => repeat((at) => `- item ${at} with **some** text and \`code\` in it\n`, size);
export const table = (size) => `| a | b | c | d |\n|---|---|---|---|\n${repeat((at) => `| ${at} | cell *${at}* | some more text | ${at * at} |\n`, size)}`;
export const paragraph = (size) => repeat((at) => `${PROSE}${at} `, size);
