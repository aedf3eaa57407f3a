// Telling visitors apart: their names may be the same.

import type { Participant } from "./catalog";

const TINTS = ["red", "orange", "green", "teal", "blue", "violet", "pink"];

/** The colour in which everyone sees this one. */
export function tint(uuid: string): string {
  const sum = [...uuid].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 0);
  return TINTS[sum % TINTS.length]!;
}

/** A word for one whose name others have too; nothing for a name of its own. The same on everyone's page. */
export function mark(uuid: string, name: string, everyone: Participant[]): string {
  const twins = everyone.filter((other) => other.uuid !== uuid && other.name === name);
  if (twins.length === 0) return "";
  const alike = twins.some((twin) => tint(twin.uuid) === tint(uuid));
  return alike ? `${tint(uuid)} ${uuid.slice(0, 4)}` : tint(uuid);
}

/** What this one is called in a sentence. */
export function label(uuid: string, name: string, everyone: Participant[]): string {
  const word = mark(uuid, name, everyone);
  return word === "" ? name : `${name} (${word})`;
}
