// Compiled by `tsc --strict`, never run: the types say what users expect.
import {
  CrosspeerError,
  PeerConnection,
  PeerManager,
  RelayClient,
  type ErrorCode,
  type Options,
  type PeerConnectionEvent,
  type Received,
  type RelayStateEvent,
} from "crosspeer";

const options: Options = { name: "page", iceServers: [{ urls: "stun:stun.example" }], channels: 4, deadAfter: 8_000 };
const tokens: Options[] = [{ token: "t" }, { token: () => "t" }, { token: async () => "t" }];
console.log(tokens.length);
const hidden: Options = { ...options, iceTransportPolicy: "relay" };

export async function peers(url: string, signal: AbortSignal): Promise<void> {
  await using manager = await PeerManager.join(new URL(url), { ...hidden, signal });
  const uuid: string = manager.uuid;
  manager.addEventListener("message", (event) => {
    const data: Received = event.data;
    const size: number = typeof data === "string" ? data.length : data.byteLength;
    console.log(event.from, size, new Blob([data]), new File([data], "name"));
    if (typeof data !== "string") void new Response(data), void crypto.subtle.digest("SHA-256", data);
  });
  manager.addEventListener("message", null);
  manager.addEventListener("message", { handleEvent: ({ data }) => console.log(data) }, { once: true });
  manager.addEventListener("connection", ({ connection }: PeerConnectionEvent) => void connection.send("welcome"));
  manager.onconnection = ({ connection }) => console.log(connection.peer?.length);
  manager.onregistered = manager.onunregistered = ({ state, reason }: RelayStateEvent) => console.log(state, reason?.code);
  manager.addEventListener("relaychange", function ({ state }) {
    console.log(this.uuid, state === "ended");
  });
  for (const [peer, { state }] of manager.connections) console.log(peer.length, state);
  const called: PeerConnection = await manager.accept({ signal });
  console.log(called.isCrosspeer);
  manager.onmessage = ({ from }) => console.log(from);
  await manager.send(uuid, "text", { timeout: 1_000, signal });
  await manager.send(uuid, new Blob(["x"]));
  await manager.send(uuid, new ArrayBuffer(1));
  for await (const { from, data } of manager) console.log(from, data);

  const connection: PeerConnection = await manager.connect(uuid, { signal });
  connection.addEventListener("statechange", () => console.log(connection.state === "connected"));
  for await (const data of connection) console.log(data.length);
  const reason: CrosspeerError = await connection.closed;
  const code: ErrorCode = reason.code;
  console.log(code satisfies string);
}

export async function byHand(url: string): Promise<void> {
  const client = await RelayClient.connect(url);
  const connection = new PeerConnection(client, { channels: 1 });
  await connection.sendOffer(client.uuid);
  client.onregistered = ({ state }) => console.log(state satisfies string);
  for await (const message of client) await connection.handleServerMessage(message);
  await connection.ready({ timeout: 30_000 });
}

// @ts-expect-error a number is no message
void (async (manager: PeerManager) => manager.send("", 1));
// @ts-expect-error it is made by `join`
new PeerManager();
// @ts-expect-error the map is ours
void ((manager: PeerManager) => manager.connections.clear());
// @ts-expect-error a policy that there is not
void PeerManager.join("", { iceTransportPolicy: "none" });
// @ts-expect-error a misspelt option
void PeerManager.join("", { nmae: "x" });
