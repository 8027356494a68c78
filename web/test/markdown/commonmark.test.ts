import { expect, test } from "vitest";
import { html, tidy } from "./html.ts";
import { BARE, POLICY, RAW_SECTIONS } from "./policy.ts";
import { examples } from "./spec.ts";

const ALL = examples();
test("the list of differences is short", () => {
  expect(Object.keys(POLICY).length).toBeLessThanOrEqual(20);
});

test("the specification is 0.31.2's", () => {
  expect(ALL).toHaveLength(652);
  expect(ALL.filter(({ section }) => !RAW_SECTIONS.has(section))).toHaveLength(588);
});

test.each(ALL.filter(({ section }) => !RAW_SECTIONS.has(section)).map((one) => [one.number, one.section, one] as const))(
  "example %i, %s",
  (number, _, one) => {
    const got = tidy(html(one.markdown, { bareLinks: !BARE.has(number) }));
    if (number in POLICY) expect(got).not.toBe(tidy(one.html));
    else expect(got).toBe(tidy(one.html));
  },
);
