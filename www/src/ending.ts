// How a transfer that does not succeed is told of.

import { errorText, isolated } from "./dom";
import { plural } from "./format";
import { Refused } from "./peer";
import type { Remark, Transfer } from "./transfer";

/** One file that was not taken. */
export interface Refusal extends Remark {
  code: string;
}

/** What is shown of a transfer that did not come to its end. */
export function ended(transfer: Transfer, error: unknown, visitor: boolean): void {
  const who = isolated(transfer.peer);
  if (error instanceof DOMException && error.name === "AbortError") return transfer.set("cancelled", "Cancelled"); // no place was chosen
  if (!(error instanceof Refused)) return transfer.set("failed", errorText(error));
  transfer.remarks = error instanceof NotAll ? error.remarks : [];
  if (error.code === "lost" && visitor) {
    const again = transfer.onRetry ? "" : ` ${who} can send it again.`;
    return transfer.set("failed", `${who} left, or the connection was lost, before it was complete.${again}`);
  }
  if (error.code === "lost") return transfer.set("interrupted");
  if (error.code === "cancelled") return transfer.set("cancelled", visitor ? `Cancelled by ${who}` : "Cancelled by the other side");
  if (error.code === "refused" && visitor) {
    return transfer.set("declined", error.message === "declined" ? `${who} declined` : `${who} declined: ${error.message}`);
  }
  transfer.set("failed", error.message);
}

/** Some files of a job were not taken. */
class NotAll extends Refused {
  constructor(
    code: string,
    reason: string,
    readonly remarks: Remark[],
  ) {
    super(code, reason);
  }
}

export function notAll(refused: Refusal[], of: number, remarks: Remark[]): NotAll {
  const { code, path, reason } = refused[0]!;
  if (of === 1) return new NotAll(code, reason, []);
  const all = refused.length === of && refused.every((other) => other.code === code && other.reason === reason);
  const text = all ? reason : `${refused.length} of ${plural(of, "file")} not taken, ${isolated(path)}: ${reason}`;
  return new NotAll(all ? code : "failed", text, [...refused, ...remarks]);
}
