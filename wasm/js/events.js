// The package's events.

export class PeerMessageEvent extends Event {
  constructor(type, { from, data }) {
    super(type);
    this.from = from;
    this.data = data;
  }
}

export class PeerConnectionEvent extends Event {
  constructor(type, { connection }) {
    super(type);
    this.connection = connection;
  }
}

export class RelayMessageEvent extends Event {
  constructor(type, { message }) {
    super(type);
    this.message = message;
  }
}

export class RelayStateEvent extends Event {
  constructor(type, { state, reason }) {
    super(type);
    this.state = state;
    this.reason = reason;
  }
}
