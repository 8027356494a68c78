/**
 * Colours for code, when its fence is complete, while the page is idle, twenty lines at a time. (The CSS Custom
 * Highlight API would leave the text as it stands, but a page with 500 ranges then pays 2 ms in every frame.) Where
 * somebody has selected text, nothing is coloured.
 */

/** Characters of one fence that are coloured. */
const MAX_CODE = 20_000;

const KEYWORDS =
  "abstract and as assert async await begin bool boolean break byte case catch char class const constexpr continue def default defer del delete do double elif else elsif end enum except export extends extern false final finally float fn for foreach from func function global go goto if impl implements import in include instanceof int interface is lambda let local long loop match mod module mut namespace new nil None not null nullptr of operator or override package pass private protected pub public raise record repeat require rescue return self short signed sizeof static struct super switch template then this throw throws trait true True False try type typedef typeof undefined union unless unsafe unsigned until use using val var virtual void volatile when where while with yield select insert update into values create table from join left right inner outer on group by order limit set echo fi done esac export";
const WORDS = new Set(KEYWORDS.split(" "));
// Alternatives in this order: comments, strings, numbers, words. Each is linear, and none crosses a line except `/* */`.
const TOKEN =
  /(\/\/[^\n]*|\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\/|#[^\n]*|--[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|(\b\d[\w.]*)|([A-Za-z_$][\w$]*)/g;
const HASH = /^(?:c|cpp|c\+\+|java|js|javascript|ts|typescript|tsx|jsx|go|rust|rs|swift|kotlin|kt|css|scss|json|html|xml|csharp|cs|php|sql)$/i;
const DASHES = /^(?:sql|lua|haskell|hs|ada|elm)$/i;
const PLAIN = /^(?:text|txt|plain|plaintext|markdown|md|diff|console|)$/i;
const NAMES = ["comment", "string", "number", "keyword"] as const;

/** Colour the finished code in `code` some time soon. */
export function highlight(code: HTMLElement, language: string): void {
  if (PLAIN.test(language) || (code.textContent?.length ?? 0) > MAX_CODE) return;
  const idle = window.requestIdleCallback ?? ((callback: () => void) => setTimeout(callback, 50));
  let place = 0;
  const next = (): void => {
    const segment = code.childNodes[place++];
    if (!segment || !code.isConnected || getSelection()?.containsNode(code, true)) return;
    colour(segment as HTMLElement, language);
    idle(next);
  };
  idle(next);
}

function colour(segment: HTMLElement, language: string): void {
  const text = segment.textContent ?? "";
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const { name, from, to } of tokens(text, language)) {
    const part = document.createElement("span");
    part.className = `tg-${name}`;
    part.textContent = text.slice(from, to);
    parts.push(text.slice(end, from), part);
    end = to;
  }
  if (parts.length) segment.replaceChildren(...parts, text.slice(end));
}

/** What to colour in a piece of code: a reader's help, not a compiler's opinion. */
export function* tokens(text: string, language: string): Generator<{ name: string; from: number; to: number }> {
  for (const found of text.matchAll(TOKEN)) {
    const [whole, comment, string, number, word] = found;
    if (comment && ((comment[0] === "#" && HASH.test(language)) || (comment[0] === "-" && !DASHES.test(language)))) continue;
    if (word && !WORDS.has(word)) continue;
    const name = NAMES[[comment, string, number, word].findIndex((part) => part !== undefined)] as string;
    yield { name, from: found.index, to: found.index + whole.length };
  }
}
