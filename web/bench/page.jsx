/** @jsxImportSource react */
/** Runs in the page: one design, fed at a rate, measured. */
import { MarkdownStream } from "../src/markdown/index.ts";
import * as texts from "./texts.mjs";
import * as smd from "streaming-markdown";
import { marked } from "marked";
import DOMPurify from "dompurify";
import { createRoot } from "react-dom/client";
import { flushSync } from "react-dom";
import ReactMarkdown from "react-markdown";
import remarkGfm from "remark-gfm";
import { Streamdown } from "streamdown";

const box = document.querySelector("#box");

/** Once a frame, like everybody who has learnt. */
function perFrame(paint) {
  let text = "";
  let frame = 0;
  return {
    write(piece) {
      text += piece;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        paint(text);
      });
    },
    end: () => paint(text),
  };
}

/** Ours, and a peer to which our stylesheet's one line for cheap paints was lent. */
const ISOLATED = ["tidegate", "streaming-markdown+isolation"];

const DESIGNS = {
  idle: () => ({ write() {}, end() {} }),
  tidegate(root) {
    return new MarkdownStream(root);
  },
  "streaming-markdown"(root) {
    const parser = smd.parser(smd.default_renderer(root));
    let waiting = "";
    let frame = 0;
    const paint = () => {
      frame = 0;
      smd.parser_write(parser, waiting);
      waiting = "";
    };
    return {
      write(piece) {
        waiting += piece;
        frame ||= requestAnimationFrame(paint);
      },
      end() {
        paint();
        smd.parser_end(parser);
      },
    };
  },
  "streaming-markdown+isolation": (root) => DESIGNS["streaming-markdown"](root),
  "marked+DOMPurify": (root) => perFrame((text) => (root.innerHTML = DOMPurify.sanitize(marked.parse(text)))),
  "react-markdown"(root) {
    const react = createRoot(root);
    return perFrame((text) => flushSync(() => react.render(<ReactMarkdown remarkPlugins={[remarkGfm]}>{text}</ReactMarkdown>)));
  },
  streamdown(root) {
    const react = createRoot(root);
    return perFrame((text) => react.render(<Streamdown>{text}</Streamdown>));
  },
};

const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

/** @returns what the run looked like from inside. `tenth` is called as each tenth of the text has been written. */
window.run = async ({ design, text: name, size, rate, limit }) => {
  const root = document.createElement("div");
  root.className = "tg-markdown"; // the same looks for all
  if (!ISOLATED.includes(design)) root.classList.add("peer");
  box.replaceChildren(root);
  const text = texts[name](size);
  const long = [];
  const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ entryTypes: ["longtask"] });
  const gaps = [];
  let last = 0;
  let running = true;
  const frame = (now) => {
    if (last) gaps.push(now - last);
    last = now;
    box.scrollTop = box.scrollHeight;
    if (running) requestAnimationFrame(frame);
  };
  const stream = DESIGNS[design](root);
  await new Promise((wake) => setTimeout(wake, 300));
  requestAnimationFrame(frame);
  await window.tenth(0);
  const began = performance.now();
  let at = 0;
  let tenth = 1;
  while (at < text.length && performance.now() - began < limit) {
    const due = Math.min(text.length, Math.floor(((performance.now() - began) / 1000) * rate * 4));
    for (; at < due; at += 4) stream.write(text.slice(at, Math.min(at + 4, due)));
    at = Math.max(at, due);
    if (at >= (text.length / 10) * tenth) void window.tenth(tenth++);
    await new Promise((wake) => setTimeout(wake, 4));
  }
  const shown = at / text.length;
  const took = performance.now() - began;
  await new Promise((wake) => setTimeout(wake, 100));
  running = false;
  await window.tenth(10);
  stream.end();
  observer.disconnect();
  const result = { shown, took, visible: root.textContent.length, longest: Math.max(0, ...long), long: long.length, frames: gaps.length, p99: quantile(gaps, 0.99), max: Math.max(0, ...gaps) };
  root.remove();
  return result;
};
