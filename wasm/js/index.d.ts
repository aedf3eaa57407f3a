/// <reference lib="dom" />
/// <reference lib="esnext.disposable" />

/**
 * Peer-to-peer connections between web pages, Rust programs and Python ProxyStore, over WebRTC data channels.
 *
 * ```js
 * import { PeerManager } from "crosspeer";
 * const peers = await PeerManager.join("wss://relay.example");
 * peers.addEventListener("message", ({ from, data }) => console.log(from, data));
 * await peers.send(other, "hello");
 * ```
 *
 * Importing it does nothing: the wasm module is loaded by the first `join` or `connect`. All times are milliseconds,
 * all sizes bytes.
 *
 * @packageDocumentation
 */

/**
 * What can be sent. A `Blob` is read whole first, unless it is too large; messages keep the order of the calls
 * nevertheless.
 */
export type Sendable = string | ArrayBuffer | ArrayBufferView | Blob;

/** `Uint8Array<ArrayBuffer>`, also where TypeScript (before 5.7) knows no such type. */
export type Bytes = ReturnType<typeof Uint8Array.of>;

/** What arrives: what was sent as text as a string, anything else as bytes. Either may be empty. */
export type Received = string | Bytes;

/** Where a connection stands. `reconnecting`: its path is lost, and another one is looked for; nothing is lost by that. */
export type ConnectionState = "new" | "connecting" | "connected" | "reconnecting" | "closed" | "failed";

/** What went wrong, by a name that does not change. */
export type ErrorCode =
  /** Something did not happen in the time given for it. */
  | "timeout"
  /** A message could not be handed over in the time given for it; it was not sent. */
  | "send-timeout"
  /** Closed in good order, by this side or the other. */
  | "closed"
  /** The connection was up and broke. */
  | "connection-lost"
  /** The relay does not know the peer, or may not forward to it. */
  | "peer-unavailable"
  /** Another peer registered this UUID at the relay: nobody can call this one any more. */
  | "displaced"
  /** The relay refused, for good. */
  | "relay-refused"
  /** The relay could not be reached. */
  | "relay-unreachable"
  /** The set-up of a connection failed; the message says at which stage. */
  | "setup-failed"
  /** What answers is not the peer that was asked for, or what it said was changed on its way: somebody tampers. */
  | "identity-mismatch"
  /** `requireVerified` is set, and this peer's id is not a key. */
  | "not-verified"
  /** The other peer broke the protocol. */
  | "peer-misbehaved"
  /** The message is larger than `maxMessageBytes`, of this side or the other. */
  | "too-large"
  /** All 2³² − 1 message numbers of the connection have been used. */
  | "stream-ids-exhausted"
  /** An argument cannot be used; nothing was done. */
  | "invalid-input"
  /** The browser's own WebRTC or WebSocket failed, or there is none; or the wasm module cannot be loaded. */
  | "platform";

/** Every error of this package. Its message says what to do next. */
export declare class CrosspeerError extends Error {
  constructor(message: string, code: ErrorCode, cause?: unknown);
  readonly name: "CrosspeerError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
}

/** Whatever waits can be given up: it then throws the signal's reason (an `AbortError`). */
export interface Abortable {
  signal?: AbortSignal | undefined;
}

/** Waiting with a limit. */
export interface Waiting extends Abortable {
  /** Milliseconds. Default 30,000 (`connectTimeout` for `send`). */
  timeout?: number | undefined;
}

/** Everything that can be set. The defaults are meant to be right. */
export interface Options extends Abortable {
  /** The name the relay shows to other peers. Default `crosspeer`. */
  name?: string | undefined;
  /**
   * This peer's id at the relay. Default: the one that its certificate gives, by which other peers can verify it; any
   * other cannot be verified.
   */
  uuid?: string | undefined;
  /**
   * The name under which the browser keeps this peer's certificate for this origin, and with it its id. Default: a new
   * one for each manager or client. Where the browser keeps nothing, and after a year, the id is a new one. Two pages
   * that use one at once displace each other at the relay.
   */
  identity?: string | undefined;
  /** Whether only peers whose ids are keys may connect and be connected to. Default `false`. */
  requireVerified?: boolean | undefined;
  /**
   * What shows the relay that this peer may use it: a token, or a function that gives one, or a promise of one, at each call
   * of the relay: the first, and whenever the connection to it was lost. It is sent as a WebSocket subprotocol.
   */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Data channels of a connection that this side offers, 1–64. Default 1. */
  channels?: number | undefined;
  /** STUN and TURN servers, as `RTCPeerConnection` takes them. Default Google's public STUN server; `[]` uses none. */
  iceServers?: RTCIceServer[] | undefined;
  /**
   * Whether the relay is asked for its own STUN and TURN servers, which are used beside `iceServers`. A crosspeer relay with
   * `--turn` or `--turn-url` has some. Default `true`.
   */
  relayIceServers?: boolean | undefined;
  /**
   * Which paths to a peer may be taken, as `RTCPeerConnection` takes it: `relay` are only those through a TURN server, so
   * that the peer does not learn this host's addresses. Default `all`.
   */
  iceTransportPolicy?: RTCIceTransportPolicy | undefined;
  /** Milliseconds to wait for STUN and TURN servers before set-up goes on without them. Default 1,000. */
  gatherTimeout?: number | undefined;
  /** Milliseconds for loading the wasm module and reaching the relay, and for setting up a connection. Default 30,000. */
  connectTimeout?: number | undefined;
  /**
   * Milliseconds of silence after which a peer is dead; whatever waits for it fails. Default 8,000. The browser decides
   * when a peer is silent: with the default Firefox takes up to 12,300.
   */
  deadAfter?: number | undefined;
  /**
   * Milliseconds that a connection to a peer of our own kind goes on without a path, after the loss of the last one: its
   * state is `reconnecting`, another path is looked for, and what is sent waits. Both sides must want it; native programs do,
   * for 60,000. Default 0: the connection ends with its path.
   */
  sessionTimeout?: number | undefined;
  /** Milliseconds that `close` has for delivering what was sent before it. Default 30,000. */
  closeTimeout?: number | undefined;
  /** Milliseconds before a lost relay is tried again for the first time; each further wait is twice as long. Default 1,000. */
  reconnectInitial?: number | undefined;
  /** Milliseconds of the longest such wait. Default 15,000. */
  reconnectMax?: number | undefined;
  /** Bytes of the largest message sent or accepted. Default 1 GiB; what a page can hold is less. */
  maxMessageBytes?: number | undefined;
  /**
   * Bytes of received messages that wait to be taken, for each peer, before its sender is held back. Default 16 MiB.
   * ProxyStore's peers cannot be held back by a page.
   */
  receiveBufferBytes?: number | undefined;
  /** Bytes of a message's chunk towards peers of our own kind, 1,024–65,536. Default 65,536. */
  chunkBytes?: number | undefined;
  /** Whether messages between peers of our own kind arrive in the order sent. Default `true`. Both must agree. */
  ordered?: boolean | undefined;
}

/** A message and who sent it. */
export interface PeerMessage {
  /** The sender's UUID. */
  readonly from: string;
  readonly data: Received;
}

/** The event `message` of a manager or a connection. */
export declare class PeerMessageEvent extends Event implements PeerMessage {
  constructor(type: string, init: PeerMessage);
  readonly from: string;
  readonly data: Received;
}

/** What a connection has carried so far. */
export interface Statistics {
  /** Messages handed over whole. */
  readonly messagesSent: number;
  /** Messages received whole. */
  readonly messagesReceived: number;
  /** Bytes of the messages sent. */
  readonly bytesSent: number;
  /** Bytes of the messages received. */
  readonly bytesReceived: number;
}

/** The event `connection` of a manager. */
export declare class PeerConnectionEvent extends Event {
  constructor(type: string, init: { connection: PeerConnection });
  readonly connection: PeerConnection;
}

/** Whether the relay knows this peer. */
export type RelayState = "connecting" | "registered" | "ended";

/** The events `relaychange`, `registered` and `unregistered`. */
export declare class RelayStateEvent extends Event {
  constructor(type: string, init: { state: RelayState; reason?: CrosspeerError | undefined });
  /** The state that has begun. */
  readonly state: RelayState;
  /** Why there is no registration, if there is none. */
  readonly reason: CrosspeerError | undefined;
}

type Listener<T, E> = ((this: T, event: E) => void) | { handleEvent(event: E): void };

/** What all classes have in common: events, and messages one by one. */
declare abstract class Endpoint<Events, Item> extends EventTarget implements AsyncIterable<Item> {
  addEventListener<K extends keyof Events>(
    type: K,
    listener: Listener<this, Events[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof Events>(
    type: K,
    listener: Listener<this, Events[K]> | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;

  /** Messages until `close`; an end that was not in good order is thrown. */
  [Symbol.asyncIterator](): AsyncIterator<Item>;
  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The events of whatever has a registration at the relay. */
export interface RegistrationEventMap {
  /** Each change of `relayState`. */
  relaychange: RelayStateEvent;
  /** The relay knows this peer again. */
  registered: RelayStateEvent;
  /** It does not know it any more; `relaychange` tells each further attempt too. */
  unregistered: RelayStateEvent;
}

/** What has a registration at the relay. */
declare abstract class Registration<Events extends RegistrationEventMap, Item> extends Endpoint<Events, Item> {
  /** The id at the relay. */
  readonly uuid: string;
  /** The name at the relay. */
  readonly name: string;
  /** Whether the relay has this peer registered now. Open connections do not need it. */
  readonly registered: boolean;
  /**
   * `connecting` while it is tried (again), `registered`, or `ended`: it is not tried any more, as it refused for good,
   * another peer registered this UUID, or this side was closed. Connections that are up go on in each.
   */
  readonly relayState: RelayState;
  /** Why there is no registration: `relay-unreachable`, `relay-refused`, `displaced`, `closed`. */
  readonly relayError: CrosspeerError | undefined;
  /**
   * Tries a relay that is away at once, instead of when the wait between two attempts is over: for a button "try now".
   * (When the browser says it is online again, this happens by itself.) Resolves once registered.
   *
   * @throws {CrosspeerError} as `join`
   */
  reconnect(options?: Abortable): Promise<void>;

  onrelaychange: ((this: this, event: RelayStateEvent) => void) | null;
  onregistered: ((this: this, event: RelayStateEvent) => void) | null;
  onunregistered: ((this: this, event: RelayStateEvent) => void) | null;
}

export interface PeerManagerEventMap extends RegistrationEventMap {
  message: PeerMessageEvent;
  /** A peer has connected to this one, and the connection is up. */
  connection: PeerConnectionEvent;
}

/**
 * Many peers under one id: connects when there is something to send, and answers who connects.
 *
 * Take its messages by the event `message`, by `for await`, or by `recv`. While nobody listens and nobody waits, they
 * stay where they are: up to `receiveBufferBytes` for each peer, then crosspeer peers wait with sending. Nothing is lost
 * while a listener is replaced. A listener is called with each message as it comes, whatever it does with the one before;
 * `for await` and `recv` take the next when you are ready for it.
 */
export declare class PeerManager extends Registration<PeerManagerEventMap, PeerMessage> {
  private constructor();

  /**
   * Registers at the relay (`ws://…` or `wss://…`) and is then ready for peers. The relay is tried until
   * `connectTimeout` is over.
   *
   * @throws {CrosspeerError} `invalid-input`, `relay-unreachable`, `relay-refused`, `platform`, `timeout`
   */
  static join(url: string | URL, options?: Options): Promise<PeerManager>;

  /**
   * Sends a message to a peer, connecting to it first where needed. Resolves when the message has been handed over to
   * the connection, whose buffers are bounded: await it, and you never queue more than the peer can take. A message
   * that was begun within `timeout` is finished; an aborted one may still arrive.
   *
   * @throws {CrosspeerError} `peer-unavailable`, `setup-failed`, `timeout`, `send-timeout`, `connection-lost`, `closed`,
   * `too-large`, `invalid-input`
   */
  send(peer: string, data: Sendable, options?: Waiting): Promise<void>;

  /**
   * The next message of any peer. Messages of a connection that you listen to or read from itself are not among them.
   *
   * @throws {CrosspeerError} `closed` after `close`; `displaced` or `relay-refused` once nobody can call any more
   */
  recv(options?: Abortable): Promise<PeerMessage>;

  /**
   * The connection to a peer, made if there is none, once it is up. The same object for as long as it lives.
   *
   * @throws {CrosspeerError} as `send`
   */
  connect(peer: string, options?: Abortable): Promise<PeerConnection>;

  /**
   * The next connection that another peer has made, once it is up: as from `connect`, so its messages go to the manager
   * until you listen to or read from itself. Or listen to the event `connection`. Up to 256 wait for
   * either; then the oldest is passed over.
   *
   * @throws {CrosspeerError} as `recv`
   */
  accept(options?: Abortable): Promise<PeerConnection>;

  /** The connections that are up, by their peers' UUIDs, whoever has made them. */
  readonly connections: ReadonlyMap<string, PeerConnection>;

  /** Closes the connection to a peer, if there is one, after delivering everything sent before. */
  closeConnection(peer: string, options?: Abortable): Promise<void>;

  /** Closes every connection after delivering everything sent before, then leaves the relay. */
  close(options?: Abortable): Promise<void>;

  onmessage: ((this: PeerManager, event: PeerMessageEvent) => void) | null;
  onconnection: ((this: PeerManager, event: PeerConnectionEvent) => void) | null;
}

export interface PeerConnectionEventMap {
  message: PeerMessageEvent;
  statechange: Event;
}

/**
 * A connection to one peer.
 *
 * From `PeerManager.connect` and `accept` it comes connected. Made by its constructor it is connected by hand: you carry
 * offers and answers between it and a `RelayClient`.
 */
export declare class PeerConnection extends Endpoint<PeerConnectionEventMap, Received> {
  /**
   * A connection that is yet to be connected, by `sendOffer` or by handing it a received offer.
   *
   * @param options.channels Data channels, 1–64. Default 1.
   */
  constructor(client: RelayClient, options?: { channels?: number | undefined });

  /** Where it stands. */
  readonly state: ConnectionState;
  /** The peer's UUID, once it is known. */
  readonly peer: string | undefined;
  /** Whether the peer is a crosspeer one, and not ProxyStore; `false` until that is known. */
  readonly isCrosspeer: boolean;
  /**
   * Whether the peer has been found to be the one of its id: it has the certificate that its UUID is made of, and nobody
   * has changed what both sides said. `false` before the connection is up, and for peers whose ids are no keys, such as
   * ProxyStore's.
   */
  readonly verified: boolean;
  /** The SHA-256 of the peer's certificate, `AB:CD:…`, once the connection is up. */
  readonly remoteFingerprint: string | undefined;
  /**
   * Size of the messages given to this object's `send` that have not been handed over yet: bytes, for strings their
   * length.
   */
  readonly bufferedAmount: number;
  /** Resolves when the connection has ended, with the reason: `code` is `closed` where it ended in good order. */
  readonly closed: Promise<CrosspeerError>;

  /** Offers to connect to this peer. Hand the answer to `handleServerMessage`. */
  sendOffer(peer: string, options?: Abortable): Promise<void>;
  /** Sends the answer to this peer's offer once more; `handleServerMessage` has sent it already. */
  sendAnswer(peer: string, options?: Abortable): Promise<void>;
  /** Takes what the relay client received for this connection. */
  handleServerMessage(message: RelayMessage, options?: Abortable): Promise<void>;

  /**
   * Resolves once messages can flow.
   *
   * @throws {CrosspeerError} `setup-failed`, `timeout`, `closed`
   */
  ready(options?: Waiting): Promise<void>;

  /** Sends a message; see `PeerManager.send`. */
  send(data: Sendable, options?: Waiting): Promise<void>;

  /**
   * The next message. From the first `recv`, iteration or `message` listener on, this peer's messages come here and no
   * longer to the manager.
   *
   * @throws {CrosspeerError} why the connection ended, once everything received before has been taken
   */
  recv(options?: Abortable): Promise<Received>;

  /**
   * The browser's own statistics of it, such as the candidates that carry it. `undefined` once it has ended, and for one
   * made by hand.
   */
  getStats(): Promise<RTCStatsReport | undefined>;

  /** How much has gone over it. */
  statistics(options?: Abortable): Promise<Statistics>;

  /** Closes it after delivering everything sent before. The manager or relay client goes on. */
  close(options?: Abortable): Promise<void>;

  onmessage: ((this: PeerConnection, event: PeerMessageEvent) => void) | null;
  onstatechange: ((this: PeerConnection, event: Event) => void) | null;
}

/** What peers tell each other through the relay. */
export interface RelayMessage {
  readonly sourceUuid: string;
  readonly sourceName: string;
  readonly peerUuid: string;
  readonly descriptionType: "offer" | "answer";
  /** JSON, as ProxyStore's. */
  readonly description: string;
  /** Why the relay could not forward it, when it came back. */
  readonly error?: string | undefined;
}

/** The event `message` of a relay client. */
export declare class RelayMessageEvent extends Event {
  constructor(type: string, init: { message: RelayMessage });
  readonly message: RelayMessage;
}

export interface RelayClientEventMap extends RegistrationEventMap {
  message: RelayMessageEvent;
}

/** The relay alone, for those who carry offers and answers by hand. Most programs want a `PeerManager`. */
export declare class RelayClient extends Registration<RelayClientEventMap, RelayMessage> {
  private constructor();

  /** Registers at the relay; see `PeerManager.join`. A lost relay is registered at again, and heard again. */
  static connect(url: string | URL, options?: Options): Promise<RelayClient>;

  /** Sends a message to a peer through the relay. While the relay is away, up to 256 wait for it. */
  send(message: RelayMessage, options?: Abortable): Promise<void>;
  /** The next message of a peer, or one of our own that came back with an error. */
  recv(options?: Abortable): Promise<RelayMessage>;
  /** Leaves the relay. Connections that are up go on. */
  close(options?: Abortable): Promise<void>;

  onmessage: ((this: RelayClient, event: RelayMessageEvent) => void) | null;
}

/**
 * Loads the wasm module now, from elsewhere if you say so: its URL, its bytes, a `Response` or a compiled module.
 * Without a call, the first `join` or `connect` loads it from beside the package's code.
 */
export declare function init(
  source?: string | URL | Request | Response | BufferSource | WebAssembly.Module | Promise<Response>,
): Promise<void>;

export {};
