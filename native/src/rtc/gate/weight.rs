//! What of a datagram counts as part of a message, and what a message is worth once it is whole. All is encrypted where
//! this is judged, but lengths tell enough: a DTLS record that holds nothing but the plainest acknowledgement has always
//! the same, and whatever it holds beyond is data, or the gaps of an acknowledgement.

use super::{Gate, MAX_ACK_BYTES, MAX_EXCESS_BYTES};
use std::sync::atomic::Ordering::{AcqRel, Acquire};

/// Bytes of a DTLS record with the plainest acknowledgement: 37 of DTLS, 28 of SCTP. As many are around data.
const PLAIN: usize = 65;
/// Bytes of a chunk of data beside the data.
const CHUNK: usize = 16;
/// The least that a piece of a message costs: whatever is kept of it is kept with what it came in.
const LEAST: usize = CHUNK + 4;
/// What a TURN server adds: to ChannelData, and to a Data indication.
const CHANNEL_DATA: usize = 4;
const DATA_INDICATION: usize = 48;
/// From here on it is data, whatever there is to be acknowledged.
const LARGE: usize = 600;
/// Of what is sent, the part that acknowledgements of it may have, beyond the plainest.
const ACKS: usize = 4;

impl Gate {
    /// A datagram has come. What it may hold of messages counts.
    pub(super) fn count_in(&self, datagram: &[u8]) {
        let cost = of_datagram(datagram);
        let cost = cost - self.take_acks(if cost < LARGE { cost } else { 0 });
        if cost == 0 {
            return;
        }
        self.heap.more(cost);
        // What comes for a stalled reader is refused by the engine, and comes again.
        if !self.is_stalled() {
            let excess = self.excess.fetch_add(cost, AcqRel);
            if excess > MAX_EXCESS_BYTES {
                self.flooded.notify_one();
            }
        }
    }

    /// It has become a message of so many bytes.
    pub(in super::super) fn count_message(&self, bytes: usize) {
        let worth = of_message(bytes);
        let less = |excess: usize| Some(excess.saturating_sub(worth));
        let _ = self.excess.fetch_update(AcqRel, Acquire, less);
        self.heap.fewer(worth);
    }

    /// Something was sent, which the peer acknowledges, at length where some of it was lost.
    pub(super) fn count_out<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) {
        let more: usize = datagrams.map(of_acks).sum();
        if more > 0 {
            let add = |acks: usize| Some((acks + more).min(MAX_ACK_BYTES));
            let _ = self.acks.fetch_update(AcqRel, Acquire, add);
        }
    }

    /// Takes up to so much of what acknowledgements may have.
    fn take_acks(&self, bytes: usize) -> usize {
        let less = |acks: usize| Some(acks.saturating_sub(bytes));
        let before = self.acks.fetch_update(AcqRel, Acquire, less);
        bytes.min(before.unwrap_or_default())
    }
}

/// Bytes that may be of a message.
pub(super) fn of_datagram(datagram: &[u8]) -> usize {
    match beyond_plain(datagram) {
        0 => 0,
        bytes => bytes.max(LEAST),
    }
}

/// What a message of so many bytes has cost, whether it came alone, in pieces or beside others, a fifth of it twice.
fn of_message(bytes: usize) -> usize {
    (CHUNK + bytes.max(1).next_multiple_of(4)) * 6 / 5
}

/// What the peer's acknowledgements of this may have.
fn of_acks(datagram: &[u8]) -> usize {
    beyond_plain(datagram) / ACKS
}

fn beyond_plain(datagram: &[u8]) -> usize {
    let around = match datagram {
        [0x00, 0x17, ..] => DATA_INDICATION,
        [0x40..=0x4f, ..] => CHANNEL_DATA,
        // Of ICE, which keeps nothing.
        [0x00..=0x03, ..] | [] => return 0,
        _ => 0,
    };
    datagram.len().saturating_sub(around + PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    /// Of DTLS and SCTP around chunks, and of an acknowledgement.
    const RECORD: usize = 37 + 12;
    const ACK: usize = 16;

    fn record(bytes: usize) -> Vec<u8> {
        vec![23; RECORD + bytes]
    }

    fn flooded(gate: &Gate) -> bool {
        gate.flooded.notified().now_or_never().is_some()
    }

    fn excess(gate: &Gate) -> usize {
        gate.excess.load(Acquire)
    }

    /// Chunks of messages of these sizes, in pieces of at most `most` bytes.
    fn chunks(messages: &[usize], most: usize) -> Vec<usize> {
        let pieces = messages.iter().flat_map(|bytes| {
            let whole = std::iter::repeat_n(most, bytes / most);
            whole.chain(Some(bytes % most).filter(|rest| *rest > 0))
        });
        pieces.map(|bytes| CHUNK + bytes.next_multiple_of(4)).collect()
    }

    proptest! {
        #[test]
        fn honest_messages_leave_nothing(
            messages in proptest::collection::vec(prop_oneof![1..=64_usize, 64..=1200_usize, 1200..=70_000_usize], 1..40),
            path in 1130..1190_usize,
            bundles in any::<bool>(),
            acks in any::<bool>(),
            again in 10..100_usize,
        ) {
            let gate = Gate::default();
            let (mut records, mut filled) = (0, 0);
            let mut leaves = |bytes: usize| {
                records += 1;
                let bytes = bytes + if acks { ACK } else { 0 };
                // Each tenth at most comes twice.
                (0..1 + usize::from(records % again == 0)).for_each(|_| gate.count_in(&record(bytes)));
            };
            for chunk in chunks(&messages, path - CHUNK - ACK) {
                if filled > 0 && (!bundles || filled + chunk + ACK > path) {
                    leaves(std::mem::take(&mut filled));
                }
                filled += chunk;
            }
            leaves(filled);
            messages.iter().for_each(|bytes| gate.count_message(*bytes));
            // But for the one that came twice where there are too few others to pay for it.
            prop_assert!(excess(&gate) <= path * (1 + records / again), "{}", excess(&gate));
            let after = excess(&gate);
            for _ in 0..20 * (1 + records / again) {
                gate.count_in(&record(CHUNK + 1120));
                gate.count_message(1120);
            }
            prop_assert_eq!(excess(&gate), 0, "{}", after);
        }

        #[test]
        fn acknowledgements_of_what_was_sent_cost_nothing(gaps in 0..60_usize, sent in 1..3000_usize) {
            let gate = Gate::default();
            for _ in 0..sent {
                gate.count_out(std::iter::once(&record(1150)[..]));
                gate.count_in(&record(ACK + 4 * gaps));
            }
            prop_assert_eq!(excess(&gate), 0);
        }
    }

    #[test]
    fn small_messages_without_number_are_no_flood() {
        for bytes in [1_usize, 64, 100, 300, 539, 551, 1200] {
            for with_ack in [0, ACK] {
                let gate = Gate::default();
                for number in 0..300_000 {
                    let one = record(with_ack + CHUNK + bytes.next_multiple_of(4));
                    (0..1 + usize::from(number % 10 == 0)).for_each(|_| gate.count_in(&one));
                    gate.count_message(bytes);
                }
                assert!(!flooded(&gate), "{bytes}");
                assert!(excess(&gate) < 4000, "{bytes}: {}", excess(&gate));
            }
        }
    }

    #[test]
    fn what_keeps_a_connection_alive_costs_nothing() {
        let gate = Gate::default();
        let mut check = vec![0, 1, 0, 0];
        check.resize(120, 0);
        for _ in 0..100_000 {
            gate.count_in(&record(ACK));
            gate.count_in(&check);
            gate.count_in(&[]);
        }
        assert_eq!(excess(&gate), 0);
    }

    #[test]
    fn pieces_without_an_end_are_counted_whatever_their_size() {
        for piece in [4_usize, 16, 100, 500, 540, 1150] {
            let gate = Gate::default();
            let enough = MAX_EXCESS_BYTES / piece + 2;
            let come = (0..enough).find(|_| {
                gate.count_in(&record(CHUNK + piece));
                flooded(&gate)
            });
            assert!(come.is_some(), "{piece}");
        }
    }

    #[test]
    fn small_messages_do_not_pay_for_one_without_an_end() {
        for message in [1_usize, 50, 120, 500] {
            let gate = Gate::default();
            // One of each.
            let come = (0..100_000).find(|_| {
                gate.count_in(&record(CHUNK + 500));
                gate.count_in(&record(CHUNK + message));
                gate.count_message(message);
                flooded(&gate)
            });
            assert!(come.is_some(), "{message}");
        }
    }
}
