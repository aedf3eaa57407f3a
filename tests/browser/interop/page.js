// A peer on a page, as its author would write it; the tests call `globalThis.peer`.
import { PeerManager } from "crosspeer";
import { digest, make } from "./samples.js";

let peers;
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

  send: ({ to, sample }) => peers.send(to, make(sample)),

  async sendText({ to, text }) {
    await peers.send(to, text);
  },

  async recv() {
    const { from, data } = await peers.recv();
    return { from, digest: await digest(data) };
  },

  /** Keeps the connection to a peer, for the requests below. */
  async watch({ to }) {
    connections.set(to, await peers.connect(to));
  },

  /** The candidates that carry the watched connection, as types, and how long it took to be there. */
  isCrosspeer: ({ to }) => connections.get(to).isCrosspeer,

  closed: async ({ to }) => (await connections.get(to).closed).code,

  /** Sends the same again and again until that fails; the error's code. */
  async flood({ to, sample }) {
    const message = make(sample);
    for (;;) {
      const result = await outcome(peers.send(to, message));
      if (result !== "ok") return result;
    }
  },

  closeConnection: ({ to }) => peers.closeConnection(to),
  close: () => peers.close(),

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
