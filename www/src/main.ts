// The page of `crosspeer share`: starts everything.

import { stored } from "./dom";
import { Network } from "./network";
import { Jobs } from "./jobs";
import { DockView } from "./view/dock";
import { FilesView } from "./view/files";
import { askToken, banner, copyButtons, dropping, otherDevices, renaming, showStatus, themeButton } from "./view/frame";
import { PeopleView } from "./view/people";
import { SnippetsView } from "./view/snippets";
import { TransfersView } from "./view/transfers";

/** `#token=…&path=…`: neither is sent to the server by the browser. */
function fragment(): URLSearchParams {
  return new URLSearchParams(location.hash.slice(1));
}

function remember(key: string, value: string, replace: boolean): void {
  const params = fragment();
  if (value === "") params.delete(key);
  else params.set(key, value);
  const text = params.toString();
  const url = text === "" ? location.pathname : `#${text}`;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

/** "Firefox on Linux". */
function ownName(): string {
  const agent = navigator.userAgent;
  const first = (names: [RegExp, string][]) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = first([[/Firefox/, "Firefox"], [/Edg/, "Edge"], [/OPR/, "Opera"], [/Chrom/, "Chrome"], [/Safari/, "Safari"]]);
  const system = first([[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac/, "macOS"], [/Linux/, "Linux"]]);
  return `${browser ?? "Browser"}${system ? ` on ${system}` : ""}`;
}

async function main(): Promise<void> {
  themeButton();
  const token = fragment().get("token") ?? new URLSearchParams(location.search).get("token") ?? undefined;
  const network = new Network(stored("name") ?? ownName(), token);
  const jobs = new Jobs(network);
  new TransfersView(jobs.transfers);
  new DockView(jobs.transfers);
  const files = new FilesView(network, jobs, (path) => remember("path", path, false));
  files.path = fragment().get("path") ?? "";
  addEventListener("popstate", () => void files.show(fragment().get("path") ?? ""));
  new PeopleView(network, jobs);
  new SnippetsView(network);
  showStatus(network);
  banner(network);
  dropping(network, jobs, files);
  otherDevices(network);
  renaming(network);
  copyButtons();
  for (;;) {
    await network.run();
    network.token = await askToken(network);
    remember("token", network.token, true);
  }
}

void main();
