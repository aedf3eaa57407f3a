// How a connection runs, from the browser's own statistics.

import type { PeerConnection } from "crosspeer";

export interface PathInfo {
  /** Directly or by a TURN server. */
  relayed: boolean;
  /** `host`, `srflx`, `prflx` or `relay`: this side's, and the other's. */
  local: string;
  remote: string;
  /** Milliseconds. */
  roundTrip: number | undefined;
  /** Bytes so far, both ways. */
  bytes: number;
}

export async function pathOf(connection: PeerConnection): Promise<PathInfo | undefined> {
  const report = await connection.getStats();
  if (!report) return undefined;
  let pair: RTCIceCandidatePairStats | undefined;
  let chosen: string | undefined;
  const byId = new Map<string, Record<string, unknown>>();
  report.forEach((stat: Record<string, unknown>) => {
    byId.set(stat["id"] as string, stat);
    if (stat["type"] === "transport") chosen = stat["selectedCandidatePairId"] as string | undefined;
  });
  report.forEach((stat: RTCIceCandidatePairStats & { selected?: boolean }) => {
    if (stat.type !== "candidate-pair") return;
    const nominated = stat.state === "succeeded" && stat.nominated;
    if (stat.id === chosen || (!chosen && (stat.selected || nominated))) pair = stat;
  });
  if (!pair) return undefined;
  const kind = (id: string) => String(byId.get(id)?.["candidateType"] ?? "unknown");
  const [local, remote] = [kind(pair.localCandidateId), kind(pair.remoteCandidateId)];
  const seconds = pair.currentRoundTripTime;
  return {
    relayed: local === "relay" || remote === "relay",
    local,
    remote,
    roundTrip: seconds === undefined ? undefined : seconds * 1000,
    bytes: (pair.bytesReceived ?? 0) + (pair.bytesSent ?? 0),
  };
}
