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

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not in an insecure context: the old way.
    const area = h("textarea.visually-hidden", { readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
