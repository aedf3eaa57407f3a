//! The registry of what peers of our own kind say to each other beyond ProxyStore's protocol: every word of the SDP line
//! `a=x-crosspeer:1 …` and every code of a control frame, each in this place alone.
//!
//! `docs/PROTOCOL.md` describes them all; a test compares it with this list. A new one needs a line in both. What has
//! been released keeps its meaning: old peers must go on working.

#[cfg(test)]
mod tests;

/// Declares constants and, for the tests, the list of them.
macro_rules! registry {
    ($of:ty; $($(#[$about:meta])+ $name:ident = $value:literal;)+) => {
        $($(#[$about])+ pub(crate) const $name: $of = $value;)+

        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[$of] = &[$($value),+];
    };
}

/// The words of [`Words`](crate::description::Words). Those that take a value are said as `key=value`.
pub(crate) mod word {
    registry! { &str;
        /// Closing is announced and acknowledged, by [`CLOSE`](super::control::CLOSE); an attempt given up by a description
        /// of type `bye`.
        CLOSE = "bye";
        /// This side's program confirms each plain message when it has kept it, by `kept` or `lost` of transfer/1, and takes
        /// such confirmations.
        CONFIRMS = "confirms";
        /// Bytes that this side takes at first; more is granted by [`CREDIT`](super::control::CREDIT). In force where both
        /// say it, and not both [`HOLDS`].
        CREDIT = "credit";
        /// In an answer: the `a=ice-ufrag` of the offer that it answers.
        FOR = "for";
        /// This side's platform stops reading while its user does, which holds its peer back without credit.
        HOLDS = "holds";
        /// The most lanes that this side wants; without it, one.
        LANES = "lanes";
        /// Bytes of the largest message that this side takes.
        MAX = "max";
        /// Messages are delivered in the order sent, where both say so.
        ORDERED = "ordered";
        /// This side takes its datagrams out of the kernel at once: larger bursts may be sent to it.
        PROMPT = "prompt";
        /// Data goes over QUIC on the path that ICE has chosen, where that comes up in time. In force where both say it.
        QUIC = "quic";
        /// In a description for a session that goes on: the number that the peer has given it, and the new lane's.
        RESUME = "resume";
        /// What both sides have seen of both descriptions is compared before anything else, by
        /// [`SEAL`](super::control::SEAL). Whoever has an id that is a key does so without being asked.
        SEAL = "seal";
        /// The number that this side has given the session, by which it goes on when all paths are lost.
        SESSION = "session";
    }
}

/// What a control frame says: a chunk of kind [`Control`](crate::chunk::Kind::Control) with this as its `stream_id`.
/// Numbers in their payloads are in network byte order. Codes that are not known are ignored.
pub(crate) mod control {
    // 5 to 7 are free.
    registry! { u32;
        /// This side sends no more. Payload: how many messages it has sent, 4 bytes.
        CLOSE = 1;
        /// The answer, once all of them are here, and whatever was to be sent the other way has been. Payload: the same of this
        /// side.
        CLOSE_ACK = 2;
        /// The sum of bytes that may be sent since the connection came up; never less than before. Payload: 8 bytes.
        CREDIT = 3;
        /// The first frame of each channel of the first lane: what this side has sent and received of both descriptions.
        /// Payload: [`part`](crate::identity::part) of the offer, then of the answer.
        SEAL = 4;
        /// The answerer wants so many lanes. Payload: how often it has said so, 4 bytes; the number, a byte.
        LANE_ASK = 8;
        /// The offerer's description of a further lane. Payload: its number, 4 bytes; the SDP.
        LANE_OFFER = 9;
        /// The answerer's. The same payload.
        LANE_ANSWER = 10;
        /// How many frames have come over each lane; not counted itself. Payload, for each: number, 4 bytes; count, 8 bytes.
        LANE_ACK = 11;
        /// Asks for that; not counted either. No payload.
        LANE_CHECK = 12;
    }
}
