// Elements without a framework.

type Child = Node | string | undefined | false;
type Props = Record<string, string | boolean | undefined | EventListener>;

/** `h("button.primary", { onclick, "aria-label": "…" }, "Text")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  spec: K | `${K}.${string}`,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag as K);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (typeof value === "string") element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the symbols in index.html; decoration only. */
export function icon(name: string): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Puts these children into a list. Only what is new or gone is touched: an element that is moved loses focus and clicks. */
export function arrange(list: HTMLElement, rows: HTMLElement[]): void {
  const wanted = new Set<Element>(rows);
  for (const child of Array.from(list.children)) if (!wanted.has(child)) child.remove();
  rows.forEach((row, at) => list.children[at] !== row && list.insertBefore(row, list.children[at] ?? null));
}

/** What is not seen and changes what is: controls, and characters that reorder or hide others. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** Joiners and variation selectors that are part of a script or a picture. */
const SEEN = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{M}\p{L}\p{N}#*]$/u;

/** Someone else's text: what is not seen in it becomes visible. `keep`: characters that are wanted all the same. */
export function visible(text: string, keep = ""): string {
  return text.replace(UNSEEN, (c, at: number) => {
    const code = c.codePointAt(0)!;
    const joins = code === 0x200c || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f) || code >= 0xe0100;
    // A joiner between two Latin letters does nothing but make a name look like another one.
    const before = text.slice(Math.max(0, at - 2), at);
    if (keep.includes(c) || (joins && SEEN.test(before) && !/[\p{Script=Latin}\d]$/u.test(before))) return c;
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/** The same, for the middle of a sentence: letters that run from right to left reorder nothing around them. */
export function isolated(text: string): string {
  return `\u2068${visible(text)}\u2069`;
}

/** The same, as an element. */
export function bdi(text: string): HTMLElement {
  return h("bdi", {}, visible(text));
}

/** Says something to those who do not see the page. */
export function announce(text: string): void {
  byId("announcements").textContent = text;
}

/** Runs at most once a frame. */
export function eachFrame(run: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const now = () => {
      asked = false;
      run();
    };
    // Frames stop in a page that is not seen; its state must be right all the same.
    if (document.visibilityState === "visible") requestAnimationFrame(now);
    else setTimeout(now, 250);
  };
}

/** Whether it was copied. If not, the text in `shown` is selected, so that a person can copy it. Says which it was. */
export async function copy(text: string, shown: HTMLElement): Promise<boolean> {
  const copied = (await byClipboard(text)) || byCommand(text);
  if (!copied) getSelection()?.selectAllChildren(shown);
  announce(copied ? "Copied" : "The browser does not let this page copy. The text is selected: copy it yourself.");
  return copied;
}

async function byClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no secure context, or forbidden
  }
}

function byCommand(text: string): boolean {
  const focused = document.activeElement as HTMLElement | null;
  const area = h("textarea.visually-hidden", { readonly: true, "aria-hidden": "true" });
  area.value = text;
  // While a dialog is open, nothing outside it can be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    area.remove();
    focused?.focus({ preventScroll: true });
  }
}

/** What the browser keeps for this page; nothing where it keeps nothing (blocked site data throws). */
export function stored(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Kept beyond this visit where the browser allows it. */
export function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It holds until the page is closed.
  }
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
