// Compiled with nothing but `lib: es2022`, by TypeScript of today and of 5.5: the package's types bring what they need.
import { PeerConnection, PeerManager, type Received } from "crosspeer";

export async function all(manager: PeerManager): Promise<Blob> {
  const parts: Received[] = [];
  manager.onmessage = ({ data }) => parts.push(data);
  for await (const { data } of manager) parts.push(data);
  manager.addEventListener("connection", ({ connection }) => connection.addEventListener("statechange", () => {}));
  for (const connection of manager.connections.values()) parts.push(await (connection satisfies PeerConnection).recv());
  return new Blob(parts);
}
