/** Which addresses a link may have, and how they are written. */

const SCHEMES = new Set(["http", "https", "mailto", "tel", "irc", "ircs"]);

/**
 * An address that is safe to follow, percent-encoded; `undefined` for any scheme that is not on the list.
 * Browsers ignore white space and control characters in a scheme, so they are ignored here too.
 */
export function safeUrl(url: string): string | undefined {
  const seen = url.replace(/[\u0000-\u0020\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(seen)?.[1];
  if (scheme !== undefined && !SCHEMES.has(scheme.toLowerCase())) return undefined;
  return encode(url);
}

/** Percent-encode what a URL cannot hold; what is encoded already stays. */
export function encode(url: string): string {
  // Half a surrogate pair has no encoding.
  const whole = url.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  return encodeURI(whole).replace(/%25([0-9a-f]{2})/gi, "%$1");
}

/** A picture that is in the text itself sends no request. SVG is left out: nothing shows it better than as a link. */
export const isInline = (url: string): boolean => /^data:image\/(?:png|jpeg|gif|webp|avif);base64,[a-z0-9+/=]*$/i.test(url);

/** The host of an address, for a reader to judge it by. */
export function hostOf(url: string): string {
  try {
    return new URL(url, "http://_").host.replace(/^_$/, "");
  } catch {
    return "";
  }
}
