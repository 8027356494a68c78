/**
 * Blocks on the screen. Each container remembers what it shows, child by child; children that are done are never looked
 * at again, so a frame costs what is still open. A block that turns out to be something else (a heading, a table)
 * changes in its place.
 */
import { Inlines } from "./inlines.ts";
import type { Block } from "./blocks.ts";
import { makeText, type Inline } from "./nodes.ts";
import { patchInlines, setText, type Look } from "./patch.ts";
import type { References, User } from "./references.ts";
import { splitRow } from "./tables.ts";
import { unescape as unescapeInfo } from "./links.ts";

/** Lines of code in one element: what is written into a shorter one costs no layout of the others. */
const SEGMENT = 20;
/** Items of a list in one element beyond the first so many: a layout looks at each child of what has grown. */
const ITEMS = 32;
/** Rows from which on a table's columns keep the widths that they have. */
const FIXED = 24;
/** Rows of one table, once its columns are fixed: a layout looks at each row of the table that grows. An even number, for
 * looks that alternate. */
const ROWS = 100;
/** Characters of a growing paragraph that are parsed again each frame, at least. */
const SETTLE = 400;

/** Anything that could be more than text. */
const MARKUP = /[\\`*_~[\]!<&\n@]|https?:|www\./i;

/** What is shown in one place. */
class Slot implements User {
  stale = false;
  /** The element, and the one that holds its children. */
  readonly el: HTMLElement;
  readonly body: HTMLElement;
  readonly tag: string;
  readonly kids: Slot[] = [];
  /** So many kids will not change. */
  settled = 0;
  // Inlines: those of the text before `frozen` stay, the others are parsed again.
  text = "";
  frozen = 0;
  fixed: Inline[] = [];
  tail: Inline[] = [];
  // Code: the lines of each segment as text.
  segments: string[] = [];
  block: Block | undefined;
  /** Of a row's cell: its own text; of any other place: from its block. */
  cell = false;

  constructor(tag: string, el: HTMLElement, body: HTMLElement) {
    this.tag = tag;
    this.el = el;
    this.body = body;
  }
}

export interface PainterOptions extends Look {
  /** Called once for each fence, when it appears: to put a copy button beside it. */
  onCode?: ((pre: HTMLElement, text: () => string) => void) | undefined;
  /** Called when a fence is complete. */
  onCodeClosed?: ((code: HTMLElement, language: string) => void) | undefined;
}

export class Painter {
  readonly #root: Slot;
  readonly #references: References;
  readonly #options: PainterOptions;

  constructor(root: HTMLElement, references: References, options: PainterOptions) {
    this.#root = new Slot("root", root, root);
    this.#references = references;
    this.#options = options;
  }

  /** Show `document`. `open` is its unfinished paragraph, if any, and the text that it would have if it ended here. */
  paint(document: Block, open: Block | undefined, text: string): void {
    // A definition that ends here is no paragraph.
    const gone = open && !text ? open : undefined;
    this.#container(document, this.#root, gone, open, text);
    for (const user of this.#references.stale) {
      const slot = user as Slot;
      // Shown again already, or settled and waiting for this.
      if (slot.stale && this.#root.el.contains(slot.el)) this.#inlines(slot, slot.text);
    }
    this.#references.stale.clear();
  }

  #container(at: Block, slot: Slot, gone: Block | undefined, open: Block | undefined, text: string): void {
    let count = at.children.length;
    if (gone && at.children[count - 1] === gone) count--;
    for (let place = slot.settled; place < count; place++) {
      const child = at.children[place] as Block;
      const kid = this.#place(slot, place, child);
      kid.block = child;
      this.#block(child, kid, gone, open, text);
      if (child.done && place === slot.settled) slot.settled++;
    }
    for (const kid of slot.kids.splice(count)) kid.el.remove();
  }

  /** The slot for a child; a new one where something else was shown. */
  #place(slot: Slot, place: number, child: Block): Slot {
    const tag = tagOf(child);
    const there = slot.kids[place];
    if (there?.tag === tag) return there;
    const made = this.#make(tag, child);
    // Each block of the answer finds its own direction; what is in it follows.
    if (slot === this.#root && child.kind !== "code") made.el.dir = "auto";
    slot.kids[place] = made;
    if (there) there.el.replaceWith(made.el);
    else (child.kind === "item" ? partOf(slot.body, place) : slot.body).append(made.el);
    return made;
  }

  #make(tag: string, child: Block): Slot {
    if (child.kind === "code") return this.#makeCode(tag, child);
    if (child.kind === "table") return makeTable(tag);
    const el = document.createElement(tag.split(" ", 1)[0] as string);
    if (child.kind === "list" && child.ordered && child.first !== 1) el.setAttribute("start", String(child.first));
    return new Slot(tag, el, el);
  }

  #makeCode(tag: string, child: Block): Slot {
    const pre = document.createElement("pre");
    const code = document.createElement("code");
    pre.dir = "ltr";
    pre.tabIndex = 0;
    const language = languageOf(child);
    if (language) code.className = `language-${language}`;
    pre.append(code);
    const slot = new Slot(tag, pre, code);
    this.#options.onCode?.(pre, () => code.textContent ?? "");
    return slot;
  }

  #block(child: Block, slot: Slot, gone: Block | undefined, open: Block | undefined, text: string): void {
    switch (child.kind) {
      case "paragraph":
        return this.#inlines(slot, child === open ? text.trim() : child.text.trim());
      case "heading":
        return this.#inlines(slot, child.text.trim());
      case "code":
        return this.#code(child, slot);
      case "table":
        return this.#table(child, slot);
      case "rule":
        return;
      case "list":
        return this.#list(child, slot, gone, open, text);
      default:
        return this.#container(child, slot, gone, open, text);
    }
  }

  #list(child: Block, slot: Slot, gone: Block | undefined, open: Block | undefined, text: string): void {
    const name = child.loose ? "loose" : "tight";
    if (slot.el.className !== name) slot.el.className = name;
    this.#container(child, slot, gone, open, text);
    trimParts(slot.body);
  }

  #inlines(slot: Slot, text: string): void {
    if (slot.stale || !text.startsWith(slot.text.slice(0, slot.frozen))) {
      // Everything before may mean something else now.
      slot.tail = slot.fixed.concat(slot.tail);
      slot.fixed = [];
      slot.frozen = 0;
    } else if (text === slot.text) return;
    slot.stale = false;
    slot.text = text;
    if (!slot.frozen && text.length < SETTLE && !MARKUP.test(text)) {
      const plain = text ? [makeText(text)] : [];
      patchInlines(slot.body, 0, slot.tail, plain, this.#options);
      slot.tail = plain;
      return;
    }
    let parser = this.#parser(slot, text.slice(slot.frozen));
    let nodes = this.#tasks(slot, parser.parse());
    if (parser.cut > SETTLE) {
      const settled = this.#parser(slot, text.slice(slot.frozen, slot.frozen + parser.cut));
      const fixed = this.#tasks(slot, settled.parse());
      patchInlines(slot.body, slot.fixed.length, slot.tail, fixed, this.#options);
      slot.fixed = slot.fixed.concat(fixed);
      slot.tail = [];
      slot.frozen += parser.cut;
      parser = this.#parser(slot, text.slice(slot.frozen));
      nodes = parser.parse();
    }
    patchInlines(slot.body, slot.fixed.length, slot.tail, nodes, this.#options);
    slot.tail = nodes;
  }

  #parser(slot: Slot, text: string): Inlines {
    return new Inlines(text, this.#references, slot, this.#options.bareLinks);
  }

  /** GitHub's task list: a box at the start of an item's first paragraph. */
  #tasks(slot: Slot, nodes: Inline[]): Inline[] {
    const { block } = slot;
    const [first] = nodes;
    if (slot.cell || slot.frozen || block?.kind !== "paragraph" || block.parent?.kind !== "item") return nodes;
    if (block.parent.children[0] !== block || first?.t !== "text") return nodes;
    const box = /^\[([ xX])\](?=\s)/.exec(first.s);
    if (!box) return nodes;
    const rest: Inline = { ...first, s: first.s.slice(3) };
    return [{ t: "task", checked: box[1] !== " ", d: 0 }, rest, ...nodes.slice(1)];
  }

  #code(child: Block, slot: Slot): void {
    const { segments, body } = slot;
    const count = Math.ceil(child.solid / SEGMENT);
    // Whole segments of a block that has only grown are as they were.
    let from = Math.max(0, segments.length - 1);
    if (slot.settled !== child.start) from = 0;
    slot.settled = child.start;
    for (let at = from; at < count; at++) {
      const lines = child.lines.slice(at * SEGMENT, Math.min((at + 1) * SEGMENT, child.solid));
      const text = `${lines.join("\n")}\n`;
      const shown = body.childNodes[at];
      if (shown) setText(shown.firstChild as Text, segments[at] ?? "", text);
      else {
        const made = document.createElement("span");
        made.append(document.createTextNode(text));
        body.append(made);
      }
      segments[at] = text;
    }
    for (let extra = segments.length - count; extra > 0; extra--) body.lastChild?.remove();
    segments.length = count;
    if (child.done && child.fence && count) this.#options.onCodeClosed?.(body, languageOf(child));
  }

  #table(child: Block, slot: Slot): void {
    const [box, table, head] = [slot.el, slot.body, slot.body.children[0] as HTMLElement];
    const count = child.children.length;
    if (slot.frozen !== child.start || slot.text !== child.align.join()) slot.settled = 0;
    slot.frozen = child.start;
    slot.text = child.align.join();
    for (let place = slot.settled; place < count; place++) {
      const row = child.children[place] as Block;
      let kid = slot.kids[place];
      const made = !kid;
      if (!kid) {
        const el = document.createElement("tr");
        slot.kids[place] = kid = new Slot("tr", el, el);
        (place ? bodyOf(box, place - 1) : head).append(el);
      }
      this.#row(child, row, kid, place ? "td" : "th");
      if (made && box.hasAttribute("role")) tell(kid.el);
      if (row.done && place === slot.settled) slot.settled++;
    }
    for (const kid of slot.kids.splice(count)) kid.el.remove();
    for (let last = box.lastElementChild; last && !last.lastElementChild?.firstChild; last = box.lastElementChild) {
      if (last !== table) last.remove();
      else if (table.lastElementChild !== head) table.lastElementChild?.remove();
      else break;
    }
    if (count > FIXED && !table.style.tableLayout) fixColumns(table, head);
  }

  #row({ align }: Block, row: Block, slot: Slot, tag: string): void {
    const cells = splitRow(row.text);
    for (const [place, side] of align.entries()) {
      let kid = slot.kids[place];
      if (!kid) {
        const el = document.createElement(tag);
        slot.kids[place] = kid = new Slot(tag, el, el);
        kid.cell = true;
        slot.body.append(el);
      }
      if (side || kid.el.className) kid.el.className = side && `tg-${side}`;
      this.#inlines(kid, cells[place] ?? "");
    }
    for (const kid of slot.kids.splice(align.length)) kid.el.remove();
  }
}

/** From here on the columns stay as wide as they are: each new row would measure all others otherwise. */
function fixColumns(table: HTMLElement, head: HTMLElement): void {
  const cells = [...(head.firstElementChild?.children ?? [])] as HTMLElement[];
  const widths = cells.map((cell) => cell.getBoundingClientRect().width);
  if (!widths[0]) return; // not on the screen
  table.style.width = `${widths.reduce((sum, width) => sum + width, 0)}px`;
  for (const [at, cell] of cells.entries()) cell.style.width = `${widths[at]}px`;
  table.style.tableLayout = "fixed";
}

/** Where the next row goes, its number being `row`. */
function bodyOf(box: HTMLElement, row: number): Element {
  let table = box.lastElementChild as HTMLElement;
  if (row && row % ROWS === 0 && table.style.tableLayout && table.offsetWidth) table = continued(box);
  const last = table.lastElementChild;
  if (last?.localName === "tbody") return last;
  const body = document.createElement("tbody");
  table.append(body);
  if (box.hasAttribute("role")) tell(table);
  return body;
}

/** One more table with the columns of the first, for further rows. Who has them read out hears one table all the same. */
function continued(box: HTMLElement): HTMLElement {
  const first = box.firstElementChild as HTMLElement;
  const cells = [...(first.firstElementChild?.firstElementChild?.children ?? [])] as HTMLElement[];
  const table = first.cloneNode(false) as HTMLElement;
  const columns = document.createElement("colgroup");
  for (const cell of cells) {
    const column = document.createElement("col");
    column.style.width = `${cell.getBoundingClientRect().width}px`;
    columns.append(column);
  }
  table.style.width = `${first.getBoundingClientRect().width}px`;
  const look = getComputedStyle(cells[0] as HTMLElement);
  // The last line of one and the first of the next are one line.
  if (look.borderCollapse === "collapse") table.style.marginBlockStart = `-${look.borderBlockEndWidth}`;
  table.append(columns);
  box.append(table);
  if (!box.hasAttribute("role")) {
    box.setAttribute("role", "table");
    for (const each of box.children) tell(each);
  }
  return table;
}

const ROLES: Record<string, string> = { table: "none", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };

/** Say what the parts of a table are, which stands in several. */
function tell(part: Element): void {
  const role = ROLES[part.localName];
  if (!role) return;
  part.setAttribute("role", role);
  for (const child of part.children) tell(child);
}

/** Where the next item of a list goes, its number being `place`. Who has it read out hears one list all the same. */
function partOf(list: HTMLElement, place: number): Element {
  if (place < ITEMS) return list;
  if (place % ITEMS === 0) {
    const part = document.createElement("div");
    part.setAttribute("role", "none");
    list.append(part);
    list.setAttribute("role", "list");
  }
  return list.lastElementChild as Element;
}

/** An item that turned out to be none may have been alone in its part. */
function trimParts(list: HTMLElement): void {
  if (!list.hasAttribute("role") || list.lastElementChild?.firstChild) return;
  list.lastElementChild?.remove();
  if (list.lastElementChild?.localName === "li") list.removeAttribute("role");
}

function makeTable(tag: string): Slot {
  const box = document.createElement("div");
  box.className = "tg-table";
  box.tabIndex = 0;
  const table = document.createElement("table");
  table.append(document.createElement("thead"));
  box.append(table);
  return new Slot(tag, box, table);
}

/** The element of a block; where it differs, the place is made anew. */
function tagOf(child: Block): string {
  switch (child.kind) {
    case "paragraph":
      return "p";
    case "heading":
      return `h${child.level}`;
    case "quote":
      return "blockquote";
    case "list":
      return child.ordered ? `ol ${child.first}` : "ul";
    case "item":
      return "li";
    case "code":
      return `pre ${child.fence && languageOf(child)}`;
    case "rule":
      return "hr";
    default:
      return child.kind;
  }
}

function languageOf(child: Block): string {
  const [word = ""] = unescapeInfo(child.info).split(/\s/, 1);
  return word;
}
