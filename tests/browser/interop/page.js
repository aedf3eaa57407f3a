// A peer on a page, as its author would write it; the tests call `globalThis.peer`.
import { PeerManager } from "crosspeer";
import { digest, make } from "./samples.js";

let peers;
/** The wasm module's memory. */
let memory;
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (...given) => {
  const made = await instantiate(...given);
  memory = Object.values((made.instance ?? made).exports).find((value) => value instanceof WebAssembly.Memory);
  return made;
};

const connections = new Map();
const outcome = (promise) => promise.then(
  () => "ok",
  (error) => error.code ?? String(error),
);

globalThis.peer = {
  async join({ relay, options }) {
    peers = await PeerManager.join(relay, { iceServers: [], ...options });
    return peers.uuid;
  },

  send: ({ peer, sample }) => peers.send(peer, make(sample)),

  async sendText({ peer, text }) {
    await peers.send(peer, text);
  },

  /** For short texts. */
  async recvText() {
    const { from, data } = await peers.recv();
    return { from, text: data };
  },

  async recv() {
    const { from, data } = await peers.recv();
    return { from, digest: await digest(data) };
  },

  /** Keeps the connection to a peer, for `closed`. */
  async watch({ peer }) {
    connections.set(peer, await peers.connect(peer));
  },

  /** What connecting and sending a text come to. */
  outcome({ peer, text }) {
    const send = async () => {
      const connection = await peers.connect(peer);
      connections.set(peer, connection);
      await connection.send(text);
    };
    return outcome(send());
  },

  /** For each connection: its peer, and whether that is verified. One that is about to end is left out. */
  async verified() {
    const all = [...peers.connections.values()];
    const ends = (connection) => Promise.race([connection.closed.then(() => true), new Promise((resolve) => setTimeout(resolve, 3000))]);
    const lasting = [];
    for (const connection of all) if (connection.verified || !(await ends(connection))) lasting.push([connection.peer, connection.verified]);
    return lasting;
  },

  async identity({ peer }) {
    const connection = await peers.connect(peer);
    return { verified: connection.verified, fingerprint: connection.remoteFingerprint };
  },

  state: ({ peer }) => connections.get(peer).state,

  /** Until a watched connection is in this state. */
  async until({ peer, state }) {
    const connection = connections.get(peer);
    while (connection.state !== state) {
      await new Promise((resolve) => connection.addEventListener("statechange", resolve, { once: true }));
    }
  },

  /** The code of its end. */
  closed: async ({ peer }) => (await connections.get(peer).closed).code,

  /** Sends the same again and again until that fails; the error's code. */
  async flood({ peer, sample }) {
    const message = make(sample);
    for (;;) {
      const result = await outcome(peers.send(peer, message));
      if (result !== "ok") return result;
    }
  },

  /** Sends numbered messages until one is not taken for `held` milliseconds, or there are `most` bytes; how many, with it. */
  async fill({ peer, first, size, most, held }) {
    for (let count = 1; ; count++) {
      const message = new Uint8Array(size);
      new DataView(message.buffer).setUint32(0, first + count - 1);
      const sending = outcome(peers.send(peer, message));
      const result = await Promise.race([sending, new Promise((resolve) => setTimeout(resolve, held, "held"))]);
      if (result === "held" || count * size >= most) return count;
      if (result !== "ok") throw new Error(result);
    }
  },

  /** Receives so many of them, which must come in order; how many did. */
  async drain({ first, size, count }) {
    for (let number = first; number < first + count; number++) {
      const { data } = await peers.recv();
      const found = new DataView(data.buffer).getUint32(0);
      if (found !== number || data.length !== size) throw new Error(`${found} instead of ${number}`);
    }
    return count;
  },

  /** Bytes. */
  memory: () => memory.buffer.byteLength,

  /** Sends these and closes, without waiting for anything in between. */
  async sendAndClose({ peer, samples }) {
    const sent = samples.map((sample) => peers.send(peer, make(sample)));
    await Promise.all([...sent, peers.close()]);
  },

  closeConnection: ({ peer }) => peers.closeConnection(peer),

  /** The kinds of addresses that this browser offers to others. */
  async candidates() {
    const pc = new RTCPeerConnection();
    pc.createDataChannel("x");
    await pc.setLocalDescription();
    await new Promise((resolve) => {
      pc.onicecandidate = ({ candidate }) => candidate ?? resolve();
    });
    const addresses = pc.localDescription.sdp.match(/(?<=a=candidate:\S+ \d udp \d+ )\S+/gi) ?? [];
    pc.close();
    return addresses.map((address) => (address.endsWith(".local") ? "mdns" : "plain"));
  },
};
