/**
 * Inline nodes on the screen. What is shown is changed where it differs from what shall be: growing text is appended to
 * its text node, and what stands stays, with its selection. Elements are made one by one, with text as text: there is
 * nothing to sanitize.
 */
import { hostOf } from "./urls.ts";
import type { Inline } from "./nodes.ts";

export interface Look {
  /** What a picture from somewhere else becomes: a button that loads it, or a link. Loading tells a server who reads. */
  images: "click" | "link";
  /** Whether addresses without markup become links, as on GitHub. */
  bareLinks: boolean;
}

/** Make the children of `at` from `first` on show `now`; they show `was`. */
export function patchInlines(at: Element, first: number, was: Inline[], now: Inline[], look: Look): void {
  for (const [place, node] of now.entries()) {
    const old = was[place];
    if (old === node) continue;
    const shown = at.childNodes[first + place];
    if (old && shown && update(shown, old, node, look)) continue;
    const made = make(node, look);
    if (shown) at.replaceChild(made, shown);
    else at.append(made);
  }
  for (let extra = was.length - now.length; extra > 0; extra--) at.lastChild?.remove();
}

/** Whether `shown` could be made to show `node`. */
function update(shown: Node, old: Inline, node: Inline, look: Look): boolean {
  if (old.t !== node.t) return false;
  if ((node.t === "text" || node.t === "code") && "s" in old) {
    setText((node.t === "text" ? shown : shown.firstChild) as Text, old.s, node.s);
    return true;
  }
  if (node.t === "a" && old.t === "a") setLink(shown as HTMLAnchorElement, node);
  if ("c" in node && "c" in old) {
    patchInlines(shown as Element, 0, old.c, node.c, look);
    return true;
  }
  if (node.t === "task") (shown as HTMLInputElement).toggleAttribute("checked", node.checked);
  if (node.t === "img" && old.t === "img") return node.src === old.src && node.alt === old.alt && node.title === old.title;
  return true;
}

export function setText(shown: Text, old: string, now: string): void {
  if (old === now) return;
  if (now.startsWith(old)) shown.appendData(now.slice(old.length));
  else shown.data = now;
}

function make(node: Inline, look: Look): Node {
  switch (node.t) {
    case "text":
      return document.createTextNode(node.s);
    case "br":
      return document.createElement("br");
    case "code": {
      const code = document.createElement("code");
      code.append(document.createTextNode(node.s));
      return code;
    }
    case "img":
      return makePicture(node, look);
    case "task": {
      const box = document.createElement("input");
      box.type = "checkbox";
      box.disabled = true;
      box.toggleAttribute("checked", node.checked);
      box.setAttribute("aria-label", node.checked ? "done" : "to do");
      return box;
    }
    default: {
      const made = document.createElement(node.t);
      if (node.t === "a") setLink(made as HTMLAnchorElement, node);
      patchInlines(made, 0, [], node.c, look);
      return made;
    }
  }
}

function setLink(at: HTMLAnchorElement, { href, title }: { href: string; title: string }): void {
  set(at, "href", href);
  set(at, "title", title);
  set(at, "rel", href && "noopener noreferrer nofollow");
  set(at, "target", href && "_blank");
}

function set(at: Element, name: string, value: string): void {
  if (!value) at.removeAttribute(name);
  else if (at.getAttribute(name) !== value) at.setAttribute(name, value);
}

function makePicture(node: Inline & { t: "img" }, look: Look): Element {
  if (node.src.startsWith("data:")) return loaded(node);
  const host = hostOf(node.src);
  const text = `${node.alt || "Picture"}${host && ` (${host})`}`;
  if (look.images === "link" || !node.src) {
    const link = document.createElement("a");
    link.className = "tg-image";
    setLink(link, { href: node.src, title: node.title });
    link.textContent = text;
    keep(link, node);
    return link;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tg-image";
  button.textContent = text;
  button.title = "Load this picture";
  keep(button, node);
  button.addEventListener("click", () => button.replaceWith(loaded(node)));
  return button;
}

/** For whoever reads the page's structure: what the placeholder stands for. */
function keep(at: HTMLElement, { src, alt, title }: Inline & { t: "img" }): void {
  Object.assign(at.dataset, { src, alt, title });
}

function loaded({ src, alt, title }: Inline & { t: "img" }): Element {
  const image = document.createElement("img");
  image.referrerPolicy = "no-referrer";
  image.loading = "lazy";
  image.alt = alt;
  if (title) image.title = title;
  image.src = src;
  return image;
}
