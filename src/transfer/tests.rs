//! A sender and a receiver joined by two queues, driven in any order.

use super::*;
use crate::{Error, Message};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// Both sides with files in memory. Nothing moves except by `step`.
struct World {
    sender: Sender,
    receiver: Receiver,
    window: usize,
    to_receiver: VecDeque<Message>,
    to_sender: VecDeque<Message>,
    sources: BTreeMap<u32, Vec<u8>>,
    sent: BTreeMap<u32, Result<(), StopCode>>,
    partial: BTreeMap<u32, (String, Vec<u8>)>,
    received: BTreeMap<u32, (String, Vec<u8>)>,
    stopped: BTreeMap<u32, StopCode>,
}

impl World {
    fn new(window: usize) -> Self {
        let limits = ReceiverLimits {
            window: window as u64,
            ..ReceiverLimits::default()
        };
        Self {
            sender: Sender::new(),
            receiver: Receiver::new(limits),
            window,
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            sources: BTreeMap::new(),
            sent: BTreeMap::new(),
            partial: BTreeMap::new(),
            received: BTreeMap::new(),
            stopped: BTreeMap::new(),
        }
    }

    /// A file whose size is said to be this.
    fn offer_estimate(&mut self, name: &str, size: u64, content: Vec<u8>) -> u32 {
        let offer = Offer {
            estimate: true,
            ..offer(name, size)
        };
        let id = self.sender.offer(offer).unwrap();
        self.sources.insert(id, content);
        id
    }

    fn offer(&mut self, name: &str, content: Vec<u8>) -> u32 {
        let offer = offer(name, content.len() as u64);
        let id = self.sender.offer(offer).unwrap();
        self.sources.insert(id, content);
        id
    }

    /// Carries out one thing of four; says whether there was anything.
    fn step(&mut self, which: u8) -> bool {
        match which % 4 {
            0 => self.sender.poll().map(|output| self.sender_output(output)).is_some(),
            1 => self
                .receiver
                .poll()
                .map(|output| self.receiver_output(output))
                .is_some(),
            2 => self.to_receiver.pop_front().map(|m| self.deliver(m)).is_some(),
            _ => self.to_sender.pop_front().map(|m| self.deliver(m)).is_some(),
        }
    }

    fn run(&mut self) {
        while (0..4).any(|which| self.step(which)) {}
    }

    fn deliver(&mut self, message: Message) {
        match Packet::decode(message).unwrap() {
            Packet::ToSender(packet) => self.sender.handle(packet).unwrap(),
            Packet::ToReceiver(packet) => self.receiver.handle(packet).unwrap(),
            Packet::NotTransfer(message) => panic!("{message:?}"),
        }
    }

    fn sender_output(&mut self, output: SenderOutput) {
        match output {
            SenderOutput::Send(message) => self.to_receiver.push_back(message),
            SenderOutput::Read { id, offset, len } => {
                let rest = &self.sources[&id][offset as usize..];
                self.sender.block(id, &rest[..len.min(rest.len())]);
            }
            SenderOutput::Accepted { .. } | SenderOutput::Progress { .. } => {}
            SenderOutput::Done { id, .. } => assert_eq!(self.sent.insert(id, Ok(())), None),
            SenderOutput::Stopped { id, code, .. } => assert_eq!(self.sent.insert(id, Err(code)), None),
        }
        // What is on its way of a file that has ended is dropped as it comes, and takes no room in the window.
        let of = |m: &Message| u32::from_be_bytes(m.as_bytes()[4..8].try_into().unwrap());
        let blocks = self.to_receiver.iter().filter(|m| m.as_text().is_none());
        let counted = blocks.filter(|m| !self.sent.contains_key(&of(m)));
        assert!(counted.map(|m| m.len() - 16).sum::<usize>() <= self.window);
    }

    fn receiver_output(&mut self, output: ReceiverOutput) {
        match output {
            ReceiverOutput::Send(message) => self.to_sender.push_back(message),
            ReceiverOutput::Offered { id, offer } => {
                self.partial.insert(id, (offer.name, Vec::new()));
                self.receiver.accept(id);
            }
            ReceiverOutput::Write { id, offset, data } => {
                let (_, file) = self.partial.get_mut(&id).unwrap();
                assert_eq!(file.len() as u64, offset);
                file.extend_from_slice(&data);
                self.receiver.written(id, data.len());
            }
            ReceiverOutput::Complete { id, .. } => {
                self.received.insert(id, self.partial.remove(&id).unwrap());
                self.receiver.finish(id);
            }
            ReceiverOutput::Stopped { id, code, .. } | ReceiverOutput::Refused { id, code, .. } => {
                assert_eq!(self.stopped.insert(id, code), None);
                self.partial.remove(&id);
            }
        }
    }
}

fn offer(name: &str, size: u64) -> Offer {
    Offer {
        name: name.into(),
        size,
        ..Offer::default()
    }
}

fn content(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + seed + i / 251) as u8).collect()
}

/// A receiver that has accepted file 0 of `size` bytes.
fn accepting(size: u64) -> Receiver {
    let mut receiver = Receiver::default();
    receiver
        .handle(ToReceiver::Offer {
            id: 0,
            offer: offer("a", size),
        })
        .unwrap();
    receiver.accept(0);
    outputs(&mut receiver);
    receiver
}

fn outputs(receiver: &mut Receiver) -> Vec<ReceiverOutput> {
    std::iter::from_fn(|| receiver.poll()).collect()
}

fn data(offset: u64, bytes: &'static [u8]) -> ToReceiver {
    ToReceiver::Data {
        id: 0,
        offset,
        data: Bytes::from_static(bytes),
    }
}

fn stop_code(receiver: &mut Receiver) -> Option<StopCode> {
    outputs(receiver).into_iter().find_map(|output| match output {
        ReceiverOutput::Stopped { code, .. } => Some(code),
        _ => None,
    })
}

#[test]
fn files_of_all_sizes_arrive_whole_with_their_names() {
    let mut world = World::new(1 << 20);
    let sizes = [0, 1, MAX_BLOCK - 1, MAX_BLOCK, MAX_BLOCK + 1, 5 * MAX_BLOCK + 7];
    for (i, size) in sizes.into_iter().enumerate() {
        world.offer(&format!("folder/{i}"), content(size, i));
    }
    world.run();
    assert!(world.sender.is_idle());
    for (id, source) in &world.sources {
        assert_eq!(world.sent[id], Ok(()));
        assert_eq!(world.received[id], (format!("folder/{id}"), source.clone()));
    }
}

#[test]
fn more_files_than_may_be_open_wait_for_their_turn() {
    let mut world = World::new(1 << 20);
    for i in 0..3 * MAX_OPEN {
        world.offer(&format!("{i}"), content(i, i));
    }
    world.run();
    assert!(world.sender.is_idle() && world.stopped.is_empty());
    assert_eq!(world.received.len(), 3 * MAX_OPEN);
}

#[test]
fn a_window_smaller_than_a_block_still_moves_the_file() {
    let mut world = World::new(7);
    world.offer("a", content(100, 0));
    world.offer("b", content(100, 1));
    world.run();
    assert_eq!(world.received.len(), 2);
}

#[test]
fn a_refused_name_stops_only_its_own_file() {
    let mut world = World::new(1 << 20);
    let bad = world.offer("../x", content(10, 0));
    let good = world.offer("x", content(10, 0));
    world.run();
    assert_eq!((world.sent[&bad], world.sent[&good]), (Err(StopCode::Refused), Ok(())));
}

#[test]
fn altered_bytes_are_noticed_by_the_checksum() {
    let mut world = World::new(1 << 20);
    let id = world.offer("a", content(10, 0));
    while !matches!(world.to_receiver.front(), Some(Message::Bytes(_))) {
        let _ = world.step(0) || world.step(1) || world.step(3) || world.step(2);
    }
    let mut block = world.to_receiver.pop_front().unwrap().into_bytes().to_vec();
    *block.last_mut().unwrap() ^= 1;
    world.to_receiver.push_front(block.into());
    world.run();
    assert_eq!(world.sent[&id], Err(StopCode::Checksum));
    assert!(world.received.is_empty() && world.partial.is_empty());
}

#[test]
fn a_file_that_shrinks_while_sent_fails_on_both_sides() {
    let mut world = World::new(1 << 20);
    let id = world.offer("a", content(10, 0));
    loop {
        if let Some(SenderOutput::Read { .. }) = world.sender.poll().and_then(|o| match o {
            read @ SenderOutput::Read { .. } => Some(read),
            other => {
                world.sender_output(other);
                None
            }
        }) {
            break;
        }
        let _ = world.step(1) || world.step(2) || world.step(3);
    }
    world.sender.block(id, b"short");
    world.run();
    assert_eq!(world.sent[&id], Err(StopCode::Failed));
    assert_eq!(world.stopped[&id], StopCode::Failed);
}

#[test]
fn a_hostile_sender_is_stopped_with_a_reason() {
    for packets in [
        vec![data(1, b"x")],                                             // a gap
        vec![data(u64::MAX, b"x")],                                      // far outside
        vec![data(0, b"abc"), data(0, b"abc")],                          // twice
        vec![data(0, b"more than five")],                                // more than offered
        vec![data(0, b"abc"), ToReceiver::End { id: 0, hash: [0; 32] }], // too early
    ] {
        let mut receiver = accepting(5);
        for packet in packets {
            receiver.handle(packet).unwrap();
        }
        assert_eq!(stop_code(&mut receiver), Some(StopCode::Misbehaved));
        receiver.handle(data(3, b"de")).unwrap();
        assert_eq!(outputs(&mut receiver), [], "what comes after the stop is ignored");
    }
}

#[test]
fn bytes_before_acceptance_or_after_the_end_are_misbehaviour() {
    let mut receiver = Receiver::default();
    receiver
        .handle(ToReceiver::Offer {
            id: 0,
            offer: offer("a", 5),
        })
        .unwrap();
    receiver.handle(data(0, b"hello")).unwrap();
    assert_eq!(stop_code(&mut receiver), Some(StopCode::Misbehaved));

    let mut receiver = accepting(5);
    let hash = blake3::hash(b"hello").into();
    receiver.handle(data(0, b"hello")).unwrap();
    receiver.handle(ToReceiver::End { id: 0, hash }).unwrap();
    receiver.handle(data(5, b"!")).unwrap();
    assert_eq!(stop_code(&mut receiver), Some(StopCode::Misbehaved));
}

#[test]
fn unwritten_bytes_never_exceed_the_window() {
    let limits = ReceiverLimits {
        window: 8,
        ..ReceiverLimits::default()
    };
    let mut receiver = Receiver::new(limits);
    receiver
        .handle(ToReceiver::Offer {
            id: 0,
            offer: offer("a", 1000),
        })
        .unwrap();
    receiver.accept(0);
    receiver.handle(data(0, b"12345678")).unwrap();
    receiver.handle(data(8, b"9")).unwrap();
    let outputs = outputs(&mut receiver);
    assert!(
        !outputs.iter().any(|o| matches!(o, ReceiverOutput::Write { .. })),
        "{outputs:?}"
    );
}

#[test]
fn an_offer_that_is_refused_at_once_is_told_of_on_this_side_too() {
    let mut receiver = Receiver::default();
    let offers = [offer("..\\up", 1), offer("large", u64::MAX)];
    for (id, offer) in (0..).zip(offers) {
        receiver.handle(ToReceiver::Offer { id, offer }).unwrap();
        let told = outputs(&mut receiver);
        let refused = |o: &ReceiverOutput| matches!(o, ReceiverOutput::Refused { id: of, .. } if *of == id);
        assert!(told.iter().any(refused), "{told:?}");
    }
}

#[test]
fn thousands_of_offers_are_refused_beyond_the_limit() {
    let mut receiver = Receiver::default();
    let mut refused = 0;
    for id in 0..5000 {
        receiver
            .handle(ToReceiver::Offer {
                id,
                offer: offer("a", 1),
            })
            .unwrap();
        refused += outputs(&mut receiver)
            .iter()
            .filter(|o| matches!(o, ReceiverOutput::Send(_)))
            .count();
    }
    assert_eq!((receiver.open_ids().count(), refused), (MAX_OPEN, 5000 - MAX_OPEN));
}

#[test]
fn absurd_sizes_and_reused_or_unknown_ids_are_refused() {
    let mut receiver = Receiver::default();
    let absurd = ToReceiver::Offer {
        id: 3,
        offer: offer("a", u64::MAX),
    };
    receiver.handle(absurd.clone()).unwrap();
    assert_eq!(receiver.open_ids().count(), 0);
    for packet in [
        absurd,
        ToReceiver::Data {
            id: 4,
            offset: 0,
            data: Bytes::from_static(b"x"),
        },
    ] {
        assert!(matches!(receiver.handle(packet), Err(Error::PeerMisbehaved(_))));
    }
    assert!(Sender::new().offer(offer("a", u64::MAX)).is_err());
    assert!(Sender::new().offer(offer("", 1)).is_err());
}

#[test]
fn a_hostile_receiver_is_cancelled_with_a_reason() {
    let accept = ToSender::Accept {
        id: 0,
        offset: 0,
        window: 100,
        estimate: false,
    };
    for packets in [
        vec![ToSender::Ack { id: 0, received: 1 }],
        vec![ToSender::Done { id: 0, name: None }],
        vec![accept.clone(), accept.clone()],
        vec![ToSender::Accept {
            id: 0,
            offset: 0,
            window: 0,
            estimate: false,
        }],
        vec![ToSender::Accept {
            id: 0,
            offset: 5,
            window: 1,
            estimate: false,
        }],
        vec![
            accept,
            ToSender::Ack {
                id: 0,
                received: u64::MAX,
            },
        ],
    ] {
        let mut sender = Sender::new();
        sender.offer(offer("a", 5)).unwrap();
        assert!(matches!(sender.poll(), Some(SenderOutput::Send(_))));
        for packet in packets {
            sender.handle(packet).unwrap();
        }
        assert!(std::iter::from_fn(|| sender.poll()).any(|o| matches!(o, SenderOutput::Stopped { .. })));
        assert!(sender.is_idle());
        assert!(
            sender.handle(ToSender::Done { id: 1, name: None }).is_err(),
            "never offered"
        );
        sender.handle(ToSender::Done { id: 0, name: None }).unwrap();
    }
}

#[test]
fn an_empty_folder_arrives_where_folders_are_known_and_is_refused_elsewhere() {
    for known in [true, false] {
        let mut world = World::new(1 << 20);
        world.receiver = Receiver::new(ReceiverLimits {
            streams_and_folders: known,
            ..ReceiverLimits::default()
        });
        let folder = Offer {
            folder: true,
            ..offer("a/b", 0)
        };
        let id = world.sender.offer(folder).unwrap();
        world.run();
        assert_eq!(world.sent[&id].is_ok(), known);
        assert_eq!(world.received.contains_key(&id), known);
        assert_eq!(world.sent[&id] == Err(StopCode::Refused), !known);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_not_of_the_size_that_was_offered_arrives_whole_or_fails_but_is_never_cut(
        files in proptest::collection::vec((0u64..2000, 0usize..2000), 1..90),
        window in 1usize..3000,
        known: bool,
        actions in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut world = World::new(window);
        world.receiver = Receiver::new(ReceiverLimits {
            window: window as u64,
            streams_and_folders: known,
            ..ReceiverLimits::default()
        });
        for (i, (size, actual)) in files.iter().enumerate() {
            // Some are as they were offered.
            let size = if i % 3 == 0 { *actual as u64 } else { *size };
            world.offer_estimate(&format!("{i}"), size, content(*actual, i));
        }
        for action in actions {
            world.step(action);
        }
        world.run();
        prop_assert!(world.sender.is_idle() && world.receiver.open_ids().next().is_none() && world.partial.is_empty());
        for (i, (size, actual)) in files.iter().enumerate() {
            let id = i as u32;
            let right = known || i % 3 == 0 || *size == *actual as u64;
            prop_assert_eq!(world.sent[&id], if right { Ok(()) } else { Err(StopCode::Failed) });
            prop_assert_eq!(world.received.get(&id).map(|(_, file)| file), right.then(|| &world.sources[&id]));
        }
    }

    #[test]
    fn many_transfers_in_any_order_with_cancels_end_alike_on_both_sides(
        sizes in proptest::collection::vec(0usize..3000, 1..12),
        window in 1usize..2000,
        actions in proptest::collection::vec((any::<u8>(), 0u32..12), 0..400),
    ) {
        let mut world = World::new(window);
        let last = sizes.len() as u32 - 1;
        for (i, size) in sizes.iter().enumerate() {
            world.offer(&format!("{i}"), content(*size, i));
        }
        for (action, id) in actions {
            match action {
                0..=3 => world.sender.cancel(id, "changed my mind"),
                4..=7 => world.receiver.stop(id, StopCode::Cancelled, "changed my mind"),
                _ => { world.step(action); }
            }
        }
        world.run();
        prop_assert!(world.sender.is_idle() && world.receiver.open_ids().next().is_none() && world.partial.is_empty());
        for id in 0..=last {
            match world.sent[&id] {
                Ok(()) => {
                    prop_assert_eq!(&world.received[&id].1, &world.sources[&id]);
                    prop_assert!(!world.stopped.contains_key(&id));
                }
                Err(code) => prop_assert_eq!(code, StopCode::Cancelled),
            }
        }
    }
}
