// Listeners that come and go: whatever nobody listens to waits until somebody does.
import { PeerConnection, RelayClient } from "crosspeer";
import { code, options, pair, same } from "./check.js";

/** Each kind of thing that has messages, as `{ target, send, recv }`. */
async function managers(relay, use) {
  await pair(relay, (one, two) =>
    use({
      target: two,
      send: (text) => one.send(two.uuid, text),
      recv: async () => (await two.recv()).data,
    }),
  );
}

async function connections(relay, use) {
  await pair(relay, async (one, two) => {
    const connection = await two.connect(one.uuid);
    const stop = new AbortController();
    const claimed = code(connection.recv({ signal: stop.signal })); // from now on they come here
    stop.abort();
    same("claimed", await claimed, "AbortError");
    await use({
      target: connection,
      send: (text) => one.send(two.uuid, text),
      recv: () => connection.recv(),
    });
  });
}

/** Until so many have been heard. */
function hearing() {
  const heard = [];
  let wake = () => {};
  return {
    heard,
    listener: ({ data }) => {
      heard.push(data);
      wake();
    },
    async count(count) {
      while (heard.length < count) await new Promise((resolve) => (wake = resolve));
    },
  };
}

/** What is sent while nobody listens comes to whoever asks next, in order. */
const LAST = {
  async once({ target }, { listener }) {
    target.addEventListener("message", listener, { once: true });
  },
  async removed({ target }, { listener, count }) {
    target.addEventListener("message", listener);
    return async () => {
      await count(1);
      target.removeEventListener("message", listener);
    };
  },
  async "removed by itself"({ target }, { listener }) {
    const own = (event) => {
      target.removeEventListener("message", own);
      listener(event);
    };
    target.addEventListener("message", own);
  },
  async "removed by a signal"({ target }, { listener, count }) {
    const stop = new AbortController();
    target.addEventListener("message", listener, { signal: stop.signal });
    return async () => {
      await count(1);
      stop.abort();
    };
  },
  async "onmessage = null"({ target }, { listener, count }) {
    target.onmessage = listener;
    return async () => {
      await count(1);
      target.onmessage = null;
    };
  },
};

async function last(end, how) {
  const { heard, listener, count } = hearing();
  const then = await how(end, { listener, count });
  await end.send("0");
  await then?.();
  await count(1);
  for (const text of ["1", "2", "3"]) await end.send(text);
  for (const text of ["1", "2", "3"]) same(how.name, await end.recv(), text);
  same(`${how.name}: heard`, heard.join(), "0");
}

/** Listeners that are none, or are gone again before anything has come. */
async function none(end) {
  const { heard, listener } = hearing();
  end.target.addEventListener("message", null);
  end.target.onmessage = null;
  end.target.addEventListener("message", listener);
  end.target.removeEventListener("message", listener);
  end.target.addEventListener("message", listener, { signal: AbortSignal.abort() });
  end.target.addEventListener("message", listener, true);
  end.target.removeEventListener("message", listener, { capture: true });
  await end.send("nobody listens");
  same("none", await end.recv(), "nobody listens");
  same("none: heard", heard.length, 0);
}

/** As a component of React does on each change: the old listener goes, and a new one comes. */
async function replaced(end) {
  const { heard, listener, count } = hearing();
  const COUNT = 200;
  let current;
  const replace = () => {
    end.target.removeEventListener("message", current);
    current = (event) => {
      listener(event);
      replace();
    };
    end.target.addEventListener("message", current);
  };
  replace();
  for (let number = 0; number < COUNT; number++) {
    const sent = end.send(String(number));
    if (number % 3 === 0) replace();
    await sent;
    // A moment without any.
    if (number % 7 === 0) {
      end.target.removeEventListener("message", current);
      await new Promise((resolve) => setTimeout(resolve));
      replace();
    }
  }
  await count(COUNT);
  end.target.removeEventListener("message", current);
  same("replaced", heard.join(), Array.from({ length: COUNT }, (_, number) => number).join());
}

/** Whoever waits by `recv` comes first, listeners get the rest; nothing comes twice. */
async function both(end) {
  const { heard, listener, count } = hearing();
  const waiting = [end.recv(), end.recv()];
  end.target.addEventListener("message", listener);
  waiting.push(end.recv());
  for (const text of ["0", "1", "2", "3", "4"]) await end.send(text);
  same("both: recv", (await Promise.all(waiting)).join(), "0,1,2");
  await count(2);
  same("both: heard", heard.join(), "3,4");
  end.target.removeEventListener("message", listener);
}

/** A loop that ends leaves what comes afterwards to the next. */
async function loops(end, target = end.target) {
  for (const text of ["0", "1", "2"]) await end.send(text);
  for (const wanted of ["0", "1", "2"]) {
    for await (const message of target) {
      same("loops", message.data ?? message, wanted);
      break;
    }
  }
}

async function relayMessages(relay) {
  const [client, other] = [await RelayClient.connect(relay, options), await RelayClient.connect(relay, options)];
  const heard = new Promise((resolve) => client.addEventListener("message", resolve, { once: true }));
  await new PeerConnection(other).sendOffer(client.uuid);
  same("relay: heard", (await heard).message.sourceUuid, other.uuid);
  await new PeerConnection(other).sendOffer(client.uuid);
  same("relay: left", (await client.recv()).sourceUuid, other.uuid);
  await Promise.all([client.close(), other.close()]);
}

export async function listeners(relay) {
  for (const kind of [managers, connections]) {
    await kind(relay, async (end) => {
      for (const how of Object.values(LAST)) await last(end, how);
      await none(end);
      await replaced(end);
      await both(end);
      await loops(end);
    });
  }
  await relayMessages(relay);
}
