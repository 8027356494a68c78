/** Where the renderer differs from CommonMark on purpose, by the number of the example. */

/** Sections about raw HTML, which is shown as text. */
export const RAW_SECTIONS = new Set(["HTML blocks", "Raw HTML"]);

const RAW = "raw HTML is shown as text";
const SCHEME = "only known schemes can be followed";

export const POLICY: Record<number, string> = {
  ...Object.fromEntries([21, 31, 201, 308, 309, 344, 475, 476, 477, 491, 494, 524, 536, 642, 643].map((number) => [number, RAW])),
  ...Object.fromEntries([598, 599, 601].map((number) => [number, SCHEME])),
  25: "entities have HTML 4's names",
};

/** Where GitHub's bare links differ from CommonMark: read without them. */
export const BARE = new Set([606, 608, 611, 612]);
