// What a manager tells of its connections and of its registration.
import { PeerManager } from "crosspeer";
import { code, options, pair, same } from "./check.js";

const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

async function connections(relay) {
  const one = await PeerManager.join(relay, options);
  const two = await PeerManager.join(relay, options);
  same("none yet", one.connections.size, 0);
  const [called] = [once(two, "connection")];
  const calling = await one.connect(two.uuid);
  const { connection } = await called;
  same("called by", connection.peer, one.uuid);
  same("the map of who called", one.connections.get(two.uuid) === calling, true);
  same("the map of who was called", two.connections.get(one.uuid) === connection, true);
  same("the same again", (await two.connect(one.uuid)) === connection, true);
  // Hearing of it takes no messages from the manager.
  const first = two.recv();
  await calling.send("to the manager");
  same("first", (await first).data, "to the manager");
  const own = connection.recv();
  await calling.send("to the connection");
  same("own", await own, "to the connection");
  await connection.close();
  await calling.closed;
  same("none left", one.connections.size + two.connections.size, 0);

  const accepted = two.accept();
  const again = await one.connect(two.uuid);
  const other = await accepted;
  same("another", again !== calling && other !== connection, true);
  same("accepted", other.peer, one.uuid);
  await other.send("welcome");
  same("welcome", await again.recv(), "welcome");
  same("aborted", await code(two.accept({ signal: AbortSignal.abort() })), "AbortError");
  const ends = [code(one.accept()), code(two.accept())];
  await Promise.all([one.close(), two.close()]);
  same("ends", (await Promise.all(ends)).join(), "closed,closed");
}

/** Those that nobody has asked for yet are told as long as they are up. */
async function late(relay) {
  await pair(relay, async (one, two) => {
    await one.closeConnection(two.uuid);
    while (two.connections.size > 0) await new Promise((resolve) => setTimeout(resolve));
    await one.send(two.uuid, "again");
    await two.recv();
    const heard = [];
    two.onconnection = ({ connection }) => heard.push(connection.state);
    await once(two, "connection");
    same("late", heard.join(), "connected");
    same("the handler", typeof two.onconnection, "function");
    two.onconnection = null;
  });
}

async function registration(relay) {
  const { WebSocket } = globalThis;
  const sockets = [];
  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  };
  relay += "?resume=ours"; // whoever has not the same secret takes nobody's place
  const uuid = crypto.randomUUID();
  const peers = await PeerManager.join(relay, { ...options, uuid, reconnectInitial: 20 });
  const told = [];
  for (const type of ["relaychange", "registered", "unregistered"]) {
    peers.addEventListener(type, (event) => told.push(`${event.type} ${event.state} ${event.reason?.code ?? "-"}`));
  }
  const [gone, back] = [once(peers, "unregistered"), once(peers, "registered")];
  sockets.at(-1).close();
  same("gone", (await gone).state, "connecting");
  same("back", (await back).reason, undefined);
  same("registered", peers.registered, true);
  const displaced = once(peers, "unregistered");
  const ends = [code(peers.recv()), code(peers.accept()), code(peers[Symbol.asyncIterator]().next())];
  const other = await PeerManager.join(relay, { ...options, uuid });
  const { state, reason } = await displaced;
  same("displaced", `${state} ${reason.code}`, "ended displaced");
  same("ends", (await Promise.all(ends)).join(), "displaced,displaced,displaced");
  same("later", await code(peers.accept()), "displaced");
  same("told", told.filter((text) => !text.startsWith("relaychange")).join("; "),
    "unregistered connecting relay-unreachable; registered registered -; unregistered ended displaced");
  same("each change", told.filter((text) => text.startsWith("relaychange")).length, 3);
  await Promise.all([peers.close(), other.close()]);
  globalThis.WebSocket = WebSocket;
}

/** What `RTCPeerConnection` is given is what was asked for. */
async function policy(relay) {
  const { RTCPeerConnection } = globalThis;
  const iceServers = [{ urls: "turn:127.0.0.1:9", username: "me", credential: "secret" }];
  for (const iceTransportPolicy of ["relay", "all"]) {
    const stop = new AbortController();
    let given;
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration) {
        super(configuration);
        if (!configuration.iceServers) return; // one that only tells the certificate's fingerprint
        given = configuration;
        stop.abort();
      }
    };
    const peers = await PeerManager.join(relay, { iceServers, iceTransportPolicy });
    same("stopped", await code(peers.connect(crypto.randomUUID(), { signal: stop.signal })), "AbortError");
    same("policy", given.iceTransportPolicy ?? "all", iceTransportPolicy);
    same("server", [].concat(given.iceServers[0].urls).join(), "turn:127.0.0.1:9");
    await peers.close();
  }
  globalThis.RTCPeerConnection = RTCPeerConnection;
}

export async function events(relay) {
  await policy(relay);
  await connections(relay);
  await late(relay);
  await registration(relay);
}
