//! Whose a datagram is, where one socket serves ICE, DTLS and QUIC (RFC 9443).

/// Who is to have a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// QUIC.
    Quic,
    /// The engine, and it is DTLS.
    Dtls,
    /// The engine: STUN, TURN, or nothing that is known.
    Engine,
}

/// By a datagram's first byte. What comes from a TURN server that the engine uses, or goes there, is TURN's, whose channel
/// numbers look like QUIC.
pub(crate) fn sort(datagram: &[u8], turn_server: bool) -> Owner {
    match datagram.first() {
        _ if turn_server => Owner::Engine,
        Some(64..=127 | 192..) => Owner::Quic,
        Some(20..=63) => Owner::Dtls,
        _ => Owner::Engine,
    }
}

/// Whether all datagrams of `size` bytes, of which a received batch consists, are QUIC's.
pub(crate) fn is_all_quic(batch: &[u8], size: usize) -> bool {
    batch
        .chunks(size.max(1))
        .all(|datagram| sort(datagram, false) == Owner::Quic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_of_rfc_9443_goes_where_it_belongs() {
        let owner = |first: u8| sort(&[first, 0, 0, 0], false);
        for (range, whose) in [
            (0..=19, Owner::Engine),
            (20..=63, Owner::Dtls),
            (64..=127, Owner::Quic),
            (128..=191, Owner::Engine),
            (192..=255, Owner::Quic),
        ] {
            assert!(range.clone().all(|first| owner(first) == whose), "{range:?}");
        }
        assert_eq!(sort(&[], false), Owner::Engine);
        assert!((0..=255).all(|first| sort(&[first], true) == Owner::Engine));
    }

    #[test]
    fn a_batch_with_one_other_datagram_is_not_all_quic() {
        let mut batch = vec![0x40; 2500];
        assert!(is_all_quic(&batch, 1000));
        batch[2000] = 0;
        assert!(!is_all_quic(&batch, 1000));
        assert!(is_all_quic(&batch, 1500));
    }
}
