// One end of a measurement on a page: the package, or a data channel as a page uses it by itself. Both speak the
// protocol of bench/peer: a message that begins with `{` is a word of control, any other is data, counted by bytes.
import { PeerManager } from "crosspeer";

/** Bytes of a frame's payload, for both: what crosspeer uses between its own kind. */
const PAYLOAD = 65_536;
const HEADER = 18;
/** The fastest queue for a data channel, by measurement. */
const QUEUE = 512 << 10;
const LOW = 128 << 10;

class Crosspeer {
  static async open(relay) {
    const end = new Crosspeer();
    end.peers = await PeerManager.join(relay, { iceServers: [] });
    end.uuid = end.peers.uuid;
    return end;
  }

  /** A connection to this peer, or with whoever calls. */
  async link(peer) {
    const connection = peer ? await this.peers.connect(peer) : undefined;
    if (connection) return { send: (data) => connection.send(data), recv: () => connection.recv() };
    let from;
    return {
      send: (data) => this.peers.send(from, data),
      recv: async () => {
        const message = await this.peers.recv();
        from = message.from;
        return message.data;
      },
    };
  }
}

/** Registers, offers or answers, and frames data: no more than a native peer needs to understand it. */
class Plain {
  uuid = crypto.randomUUID();
  pc = new RTCPeerConnection();
  #inbox = [];
  #wake = () => {};
  #stream = 0;

  static async open(relay) {
    const end = new Plain();
    end.socket = new WebSocket(relay);
    await new Promise((resolve) => (end.socket.onopen = resolve));
    end.socket.send(JSON.stringify({ name: "plain", uuid: end.uuid, message_type: "relay_registration" }));
    await new Promise((resolve) => (end.socket.onmessage = resolve));
    end.socket.onmessage = ({ data }) => end.#signalled(JSON.parse(data));
    return end;
  }

  async link(peer) {
    if (peer) {
      this.#attach(this.pc.createDataChannel("p2p-0-1"));
      await this.#describe(peer, "offer");
    } else {
      this.pc.ondatachannel = ({ channel }) => this.#attach(channel);
    }
    const open = new Promise((resolve) => (this.opened = resolve));
    if (peer) await open;
    return { send: (data) => this.#send(data), recv: () => this.#recv() };
  }

  async #signalled({ source_uuid, description }) {
    const { type, sdp } = JSON.parse(description);
    await this.pc.setRemoteDescription({ type, sdp });
    if (type === "offer") await this.#describe(source_uuid, "answer");
  }

  async #describe(peer, type) {
    await this.pc.setLocalDescription();
    await new Promise((resolve) => (this.pc.onicecandidate = ({ candidate }) => candidate && setTimeout(resolve, 20)));
    const words = "a=x-crosspeer:1 ordered max=1073741824\r\nm=application";
    const sdp = this.pc.localDescription.sdp.replace("m=application", words).replace(/a=end-of-candidates\r\n/g, "");
    this.socket.send(
      JSON.stringify({
        source_uuid: this.uuid,
        source_name: "plain",
        peer_uuid: peer,
        description_type: type,
        description: JSON.stringify({ sdp, type }),
        error: null,
        message_type: "peer_connection",
      }),
    );
  }

  #attach(channel) {
    this.channel = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW;
    channel.onopen = () => this.opened?.();
    channel.onmessage = ({ data }) => {
      this.#inbox.push(new Uint8Array(data, HEADER));
      this.#wake();
    };
  }

  async #send(data) {
    const text = typeof data === "string";
    const bytes = text ? new TextEncoder().encode(data) : data;
    const stream = this.#stream++;
    const count = Math.ceil(bytes.length / PAYLOAD);
    for (let at = 0; at < count; at++) {
      const payload = bytes.subarray(at * PAYLOAD, (at + 1) * PAYLOAD);
      const frame = new Uint8Array(HEADER + payload.length);
      const view = new DataView(frame.buffer);
      view.setUint16(0, text ? 2 : 1);
      [frame.length, stream, at, count].forEach((field, index) => view.setUint32(2 + 4 * index, field));
      frame.set(payload, HEADER);
      if (this.channel.bufferedAmount + frame.length > QUEUE) {
        await new Promise((resolve) => (this.channel.onbufferedamountlow = resolve));
      }
      this.channel.send(frame);
    }
  }

  async #recv() {
    while (this.#inbox.length === 0) await new Promise((resolve) => (this.#wake = resolve));
    return this.#inbox.shift();
  }
}

const END = { crosspeer: Crosspeer, plain: Plain };
const text = (data) => (typeof data === "string" ? data : new TextDecoder().decode(data));
const isWord = (data) => (typeof data === "string" ? data.startsWith("{") : data[0] === 0x7b);
const usage = JSON.stringify({ cpu: 0, rss: 0, peak: 0 });

async function ask(link, word) {
  await link.send(JSON.stringify(word));
  return JSON.parse(text(await link.recv()));
}

let end;
globalThis.peer = {
  async open({ relay, stack }) {
    end = await END[stack].open(relay);
    return end.uuid;
  },

  /** Answers one caller for as long as the page is there. */
  async serve() {
    const link = await end.link();
    (async () => {
      for (let received = 0, expected = Infinity; ; ) {
        const data = await link.recv();
        if (isWord(data)) {
          const word = JSON.parse(text(data));
          if (word.do === "end") expected = word.bytes;
          else await link.send(usage);
        } else {
          received += data.length;
        }
        if (received >= expected) {
          [received, expected] = [0, Infinity];
          await link.send(usage);
        }
      }
    })();
  },

  /** Calls, and sends for so long; milliseconds until the first answer, and MiB/s. */
  async run({ peer, size, seconds }) {
    const begun = performance.now();
    const link = await end.link(peer);
    await ask(link, { do: "hello" });
    const setup = performance.now() - begun;
    const message = new Uint8Array(size);
    const start = performance.now();
    let bytes = 0;
    while (performance.now() - start < seconds * 1000) {
      await link.send(message);
      bytes += size;
    }
    await ask(link, { do: "end", bytes });
    return { setup, rate: bytes / 1048.576 / (performance.now() - start) };
  },

  async burst({ peer, size, count }) {
    const link = await end.link(peer);
    await ask(link, { do: "hello" });
    const message = new Uint8Array(size);
    const loops = [];
    for (let round = 0; round < 12; round++) {
      const start = performance.now();
      for (let i = 0; i < count; i++) await link.send(message);
      const sent = performance.now();
      await ask(link, { do: "end", bytes: count * size });
      loops.push([((sent - start) * 1000) / count, ((performance.now() - start) * 1000) / count]);
    }
    loops.sort((a, b) => a[0] - b[0]);
    return { loops: loops[6] };
  },

  /** Calls, and sends messages one after the other for so long, of each size; microseconds that one takes. */
  async small({ peer, sizes, seconds }) {
    const link = await end.link(peer);
    await ask(link, { do: "hello" });
    const times = [];
    for (const size of sizes) {
      const message = new Uint8Array(size);
      let count = 0;
      const start = performance.now();
      for (; performance.now() - start < seconds * 1000; count += 100) {
        for (let i = 0; i < 100; i++) await link.send(message);
      }
      await ask(link, { do: "end", bytes: count * size });
      times.push(((performance.now() - start) * 1000) / count);
    }
    return { times };
  },
};
