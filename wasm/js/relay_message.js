// Relay messages: here in JavaScript's manner, to and from the wasm module as on the wire.

import { invalid } from "./errors.js";
import { string } from "./options.js";

/** The fields, and their names on the wire. */
const FIELDS = {
  sourceUuid: "source_uuid",
  sourceName: "source_name",
  peerUuid: "peer_uuid",
  descriptionType: "description_type",
  description: "description",
};

export function toWire(message) {
  const wire = { message_type: "peer_connection", error: typeof message?.error === "string" ? message.error : null };
  for (const [key, name] of Object.entries(FIELDS)) wire[name] = string(key, message?.[key]);
  if (!["offer", "answer"].includes(wire.description_type)) {
    throw invalid(`\`descriptionType\` is "${wire.description_type}", must be "offer" or "answer"`);
  }
  return JSON.stringify(wire);
}

export function fromWire(text) {
  const wire = JSON.parse(text);
  const message = {};
  for (const [key, name] of Object.entries(FIELDS)) message[key] = wire[name];
  if (wire.error !== null) message.error = wire.error;
  return message;
}
